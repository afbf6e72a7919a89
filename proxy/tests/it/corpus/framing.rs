//! `Content-Length` and `Transfer-Encoding`: where one request ends and the next begins.

use super::{Case, Nothing, One, OneOr, OneThen, Refused, SMUGGLED, case, each, finished, post};

const BAD: &[u16] = &[400];
const BAD_CODING: &[u16] = &[400, 501];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = lengths();
    cases.extend(codings());
    cases.extend(both());
    cases.extend(bodies());
    cases.extend(named_by_connection());
    cases
}

fn lengths() -> Vec<Case> {
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "hello");
    vec![
        case(
            "two lengths",
            Refused(BAD),
            post("Content-Length: 0\r\nContent-Length: 44\r\n", SMUGGLED),
        ),
        case(
            "two equal lengths",
            OneOr(BAD),
            post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        ),
        case("a list of lengths", Refused(BAD), length("5, 6")),
        case("a list of equal lengths", OneOr(BAD), length("5, 5")),
        case("a plus", Refused(BAD), length("+5")),
        case("a minus", Refused(BAD), length("-5")),
        case("hexadecimal", Refused(BAD), length("0x5")),
        case("a fraction", Refused(BAD), length("5.0")),
        case("a space within", Refused(BAD), length("5 5")),
        case("an underscore within", Refused(BAD), length("0_5")),
        case("no digits", Refused(BAD), length("")),
        case("letters", Refused(BAD), length("five")),
        case("digits of another script", Refused(BAD), length("٥")),
        case(
            "beyond 64 bits",
            Refused(&[400, 413]),
            length("18446744073709551621"),
        ),
        case("beyond the limit", Refused(&[413]), length("1000000")),
        case("zeros in front", OneOr(BAD), length("005")),
        case("spaces and tabs around", One, length(" \t5\t ")),
        case("a vertical tab before", Refused(BAD), length("\x0b5")),
        case(
            "a space before the colon",
            Refused(BAD),
            post("Content-Length : 44\r\n", SMUGGLED),
        ),
        case(
            "a name like it",
            OneThen(BAD),
            post(
                "Content_Length: 44\r\nContent-Length: 0\r\n",
                &bad(SMUGGLED),
            ),
        ),
    ]
}

/// The same bytes as something no proxy may take for a request.
fn bad(text: &str) -> String {
    text.replace("HTTP/1.1", "HTTP")
}

fn codings() -> Vec<Case> {
    let coding = |lines: &str| post(lines, &format!("0\r\n\r\n{SMUGGLED}"));
    let te = |value: &str| coding(&format!("Transfer-Encoding: {value}\r\n"));
    let mut cases = each(
        Refused(BAD_CODING),
        te,
        &[
            ("an unknown coding", "xchunked"),
            ("identity", "identity"),
            ("gzip alone", "gzip"),
            ("gzip, chunked", "gzip, chunked"),
            ("chunked, gzip", "chunked, gzip"),
            ("chunked, identity", "chunked, identity"),
            ("chunked twice in one line", "chunked, chunked"),
            ("an empty coding", ""),
            ("an empty element", ", chunked"),
            ("a parameter", "chunked;q=1"),
            ("quotes", "\"chunked\""),
            ("a vertical tab before chunked", "\x0bchunked"),
            ("a form feed after chunked", "chunked\x0c"),
            ("a NUL after chunked", "chunked\0"),
        ],
    );
    cases.extend([
        case(
            "chunked in two lines",
            Refused(BAD_CODING),
            coding("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ),
        case(
            "chunked, then identity in another line",
            Refused(BAD_CODING),
            coding("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        ),
        case(
            "a space before the colon of the coding",
            Refused(BAD),
            coding("Transfer-Encoding : chunked\r\n"),
        ),
        case(
            "a folded coding",
            Refused(BAD),
            coding("Transfer-Encoding:\r\n chunked\r\n"),
        ),
        case(
            "chunked in HTTP/1.0",
            Refused(BAD),
            format!(
                "POST /in HTTP/1.0\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"
            ),
        ),
    ]);
    cases
}

fn both() -> Vec<Case> {
    let rest = format!("0\r\n\r\n{SMUGGLED}");
    vec![
        case(
            "a length, then chunked",
            Refused(BAD),
            post(
                "Content-Length: 49\r\nTransfer-Encoding: chunked\r\n",
                &rest,
            ),
        ),
        case(
            "chunked, then a length",
            Refused(BAD),
            post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", &rest),
        ),
        case(
            "chunked and a length of 0",
            Refused(BAD),
            post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", &rest),
        ),
        case(
            "an unknown coding and a length",
            Refused(BAD_CODING),
            post("Transfer-Encoding: x\r\nContent-Length: 49\r\n", &rest),
        ),
        case(
            "lower-case names",
            Refused(BAD),
            post(
                "content-length: 49\r\ntransfer-encoding: CHUNKED\r\n",
                &rest,
            ),
        ),
    ]
}

fn bodies() -> Vec<Case> {
    let length = SMUGGLED.len();
    vec![
        case(
            "a request as the body of a GET",
            One,
            format!(
                "GET /in HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"
            ),
        ),
        case(
            "a request as the body of a POST",
            One,
            post(&format!("Content-Length: {length}\r\n"), SMUGGLED),
        ),
        case(
            "a request as the body of a GET, chunked",
            One,
            format!(
                "GET /in HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
            ),
        ),
        case(
            "bytes after the body",
            OneThen(BAD),
            post("Content-Length: 3\r\n", "abcdef\r\n\r\n"),
        ),
        case(
            "an empty line after the body",
            One,
            post("Content-Length: 5\r\n", "hello\r\n"),
        ),
        finished(case(
            "less than announced",
            Nothing,
            post("Content-Length: 10\r\n", "abc"),
        )),
        case(
            "less than announced, and waiting",
            Refused(&[408]),
            post("Content-Length: 10\r\n", "abc"),
        ),
        finished(case(
            "a cut head",
            Nothing,
            "POST /in HTTP/1.1\r\nHost: shop.example\r\nContent-Le",
        )),
        finished(case("no head", Nothing, "")),
        case(
            "half a head, and waiting",
            Refused(&[408]),
            "POST /in HTTP/1.1\r\nHost: shop.example\r\nContent-Le",
        ),
    ]
}

/// Headers that a client asks to have removed on the way.
fn named_by_connection() -> Vec<Case> {
    let length = SMUGGLED.len();
    let with = |connection: &str| {
        post(
            &format!("Connection: {connection}\r\nContent-Length: {length}\r\n"),
            SMUGGLED,
        )
    };
    vec![
        case(
            "Connection: content-length",
            OneOr(BAD),
            with("content-length"),
        ),
        case("Connection: host", OneOr(BAD), with("keep-alive, host")),
        case(
            "Connection: transfer-encoding",
            OneOr(BAD),
            post(
                "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n0\r\n\r\n",
            ),
        ),
        case(
            "Connection: idempotency-key",
            Refused(BAD),
            post(
                "Connection: close, Idempotency-Key\r\nIdempotency-Key: k\r\nContent-Length: 5\r\n",
                "hello",
            ),
        ),
        case(
            "Upgrade: h2c",
            OneOr(&[400, 501]),
            "GET /in HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
        ),
    ]
}
