//! Chunked bodies.

use super::{Case, Nothing, One, OneOr, Refused, SMUGGLED, case, each, finished, post};

const BAD: &[u16] = &[400];
const BAD_OR_LATE: &[u16] = &[400, 408];

/// A chunked POST with this body.
fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = sizes();
    cases.extend(ends());
    cases.extend(extensions());
    cases.extend(trailers());
    cases
}

fn sizes() -> Vec<Case> {
    let size = |size: &str| chunked(&format!("{size}\r\nhello\r\n0\r\n\r\n"));
    vec![
        case("letters", Refused(BAD), size("zz")),
        case("0x", Refused(BAD), size("0x5")),
        case("a plus", Refused(BAD), size("+5")),
        case("a minus", Refused(BAD), size("-5")),
        case("a space before", Refused(BAD), size(" 5")),
        case("a space after", OneOr(BAD), size("5 ")),
        case("a tab after", OneOr(BAD), size("5\t")),
        case("an underscore", Refused(BAD), size("0_5")),
        case("no size", Refused(BAD), size("")),
        case("a NUL", Refused(BAD), size("5\0")),
        case(
            "beyond 64 bits",
            Refused(&[400, 413]),
            size("10000000000000005"),
        ),
        case("at 64 bits", Refused(&[400, 413]), size("ffffffffffffffff")),
        case(
            "at 63 bits",
            Refused(&[400, 408, 413]),
            size("7fffffffffffffff"),
        ),
        case(
            "many zeros in front",
            OneOr(BAD),
            size("00000000000000000000005"),
        ),
        case("the chunked coding as it is", One, size("5")),
        case("upper case", One, chunked("A\r\n0123456789\r\n0\r\n\r\n")),
        case(
            "many chunks of one byte",
            One,
            chunked(&format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(2_000))),
        ),
        case(
            "more than the limit in all",
            Refused(&[413]),
            chunked(&format!(
                "{}0\r\n\r\n",
                format!("400\r\n{}\r\n", "x".repeat(1024)).repeat(80)
            )),
        ),
        case(
            "a size beyond the limit",
            Refused(&[408, 413]),
            chunked("fffff\r\nhello"),
        ),
    ]
}

fn ends() -> Vec<Case> {
    let mut cases = each(
        Refused(BAD_OR_LATE),
        chunked,
        &[
            ("LF after the size", "5\nhello\r\n0\r\n\r\n"),
            ("CR after the size", "5\rhello\r\n0\r\n\r\n"),
            ("LF after the data", "5\r\nhello\n0\r\n\r\n"),
            ("less data than announced", "6\r\nhello\r\n0\r\n\r\n"),
            ("LF at the end", "5\r\nhello\r\n0\r\n\n"),
        ],
    );
    cases.extend([
        case(
            "nothing after the data",
            Refused(BAD),
            chunked("5\r\nhello0\r\n\r\n"),
        ),
        case(
            "more data than announced",
            Refused(BAD),
            chunked("5\r\nhello!\r\n0\r\n\r\n"),
        ),
        case(
            "LF after the last chunk's size",
            Refused(BAD_OR_LATE),
            chunked(&format!("5\r\nhello\r\n0\n\r\n{SMUGGLED}")),
        ),
        finished(case("no last chunk", Nothing, chunked("5\r\nhello\r\n"))),
        finished(case(
            "no end of the last chunk",
            Nothing,
            chunked("5\r\nhello\r\n0\r\n"),
        )),
        finished(case("a cut size", Nothing, chunked("5\r\nhello\r\n1"))),
        case(
            "no last chunk, and waiting",
            Refused(&[408]),
            chunked("5\r\nhello\r\n"),
        ),
    ]);
    cases
}

fn extensions() -> Vec<Case> {
    let with = |extension: &str| chunked(&format!("5{extension}\r\nhello\r\n0\r\n\r\n"));
    let long = format!(";{}", "x".repeat(20_000));
    vec![
        case("an extension", OneOr(BAD), with(";a=b")),
        case("a quoted extension", OneOr(BAD), with(";a=\"b\"")),
        case("an LF in an extension", Refused(BAD_OR_LATE), with(";a\nb")),
        case("a CR in an extension", Refused(BAD_OR_LATE), with(";a\rb")),
        case("a NUL in an extension", Refused(BAD), with(";a\0b")),
        case("a long extension", Refused(&[400, 413, 431]), with(&long)),
        case(
            "long extensions in all",
            Refused(&[400, 413, 431]),
            chunked(&format!(
                "{}0\r\n\r\n",
                format!("1;{}\r\nx\r\n", "y".repeat(200)).repeat(2_000)
            )),
        ),
        case(
            "an LF in an extension that hides a chunk",
            Refused(BAD_OR_LATE),
            chunked(&format!("5;\nhello\r\n0\r\n\r\n{SMUGGLED}")),
        ),
    ]
}

fn trailers() -> Vec<Case> {
    let with = |trailers: &str| chunked(&format!("5\r\nhello\r\n0\r\n{trailers}\r\n"));
    let mut cases = each(
        OneOr(BAD),
        with,
        &[
            ("a trailer", "X-A: b\r\n"),
            ("a length as trailer", "Content-Length: 44\r\n"),
            ("a coding as trailer", "Transfer-Encoding: chunked\r\n"),
            ("a host as trailer", "Host: evil.example\r\n"),
            ("a trailer without a colon", "nothing\r\n"),
            ("a folded trailer", "X-A: b\r\n c\r\n"),
        ],
    );
    cases.extend([
        case(
            "LF after a trailer",
            Refused(BAD_OR_LATE),
            chunked(&format!("5\r\nhello\r\n0\r\nX-A: b\n\r\n{SMUGGLED}")),
        ),
        case(
            "endless trailers",
            Refused(&[400, 413, 431]),
            with(&"X-A: b\r\n".repeat(4_000)),
        ),
    ]);
    cases
}
