//! The request line and the header lines.

use super::{Case, Nothing, OneOr, OneThen, Refused, SMUGGLED, case, each, finished, post};
use crate::support::get;

const BAD: &[u16] = &[400];

/// Heads that a proxy may also wait out, if it waits for a line end that never comes.
const BAD_OR_LATE: &[u16] = &[400, 408];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = request_lines();
    cases.extend(targets());
    cases.extend(hosts());
    cases.extend(header_lines());
    cases.extend(sizes());
    cases
}

/// A request with this first line.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: shop.example\r\n\r\n")
}

fn request_lines() -> Vec<Case> {
    let mut cases = each(
        Refused(BAD),
        line,
        &[
            ("lower-case version", "GET /in http/1.1"),
            ("two spaces", "GET  /in HTTP/1.1"),
            ("tabs", "GET\t/in\tHTTP/1.1"),
            ("a fourth part", "GET /in HTTP/1.1 x"),
            ("a space at the end", "GET /in HTTP/1.1 "),
            ("a space at the start", " GET /in HTTP/1.1"),
            ("a NUL in the method", "GE\0T /in HTTP/1.1"),
            ("no method", " /in HTTP/1.1"),
        ],
    );
    cases.extend([
        finished(case("no version", Refused(BAD_OR_LATE), line("GET /in"))),
        finished(case("HTTP/0.9", Nothing, "GET /in\r\n")),
        case(
            "version 2.0",
            Refused(&[400, 505]),
            line("GET /in HTTP/2.0"),
        ),
        case("version 1.2", OneOr(&[400, 505]), line("GET /in HTTP/1.2")),
        case(
            "version 1.10",
            Refused(&[400, 505]),
            line("GET /in HTTP/1.10"),
        ),
        case(
            "no token as method",
            Refused(&[400, 405, 501]),
            line("GE(T /in HTTP/1.1"),
        ),
        case(
            "empty lines first",
            OneOr(BAD),
            format!("\r\n\r\n{}", get("/in")),
        ),
        case("a bare LF first", OneOr(BAD), format!("\n{}", get("/in"))),
        case(
            "CONNECT",
            Refused(&[400, 405, 501]),
            "CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n",
        ),
        case(
            "TRACE",
            Refused(&[400, 405, 501]),
            line("TRACE /in HTTP/1.1"),
        ),
        finished(case(
            "a TLS hello",
            Nothing,
            &b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n\r\n"[..],
        )),
        finished(case(
            "HTTP/2's preface",
            Nothing,
            format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{SMUGGLED}"),
        )),
    ]);
    cases
}

fn targets() -> Vec<Case> {
    let mut cases = each(
        Refused(BAD),
        |target| line(&format!("GET {target} HTTP/1.1")),
        &[
            ("a space in the target", "/in put"),
            ("a NUL in the target", "/in\0"),
            ("a CR in the target", "/in\r/smuggled"),
            ("a DEL in the target", "/in\x7f"),
            ("no slash first", "in"),
            ("an asterisk for GET", "*"),
            ("a fragment", "/in#a"),
            ("a fragment after a query", "/in?a=b#c"),
            ("a fragment in a URL", "http://shop.example/in#a"),
            ("another scheme", "ftp://shop.example/in"),
            ("a URL with a user", "http://me@shop.example/in"),
        ],
    );
    cases.push(case(
        "a URL for another host",
        OneOr(BAD),
        line("GET http://other.example/in HTTP/1.1"),
    ));
    cases
}

fn hosts() -> Vec<Case> {
    each(
        Refused(BAD),
        |host| format!("GET /in HTTP/1.1\r\n{host}\r\n"),
        &[
            ("no Host", ""),
            ("two Hosts", "Host: shop.example\r\nHost: evil.example\r\n"),
            (
                "two equal Hosts",
                "Host: shop.example\r\nHost: shop.example\r\n",
            ),
            ("a space in Host", "Host: shop example\r\n"),
            ("a path in Host", "Host: shop.example/x\r\n"),
            ("a user in Host", "Host: me@shop.example\r\n"),
            ("a list in Host", "Host: a.example, b.example\r\n"),
            ("a port of letters in Host", "Host: shop.example:http\r\n"),
        ],
    )
}

fn header_lines() -> Vec<Case> {
    let with = |header: &str| format!("GET /in HTTP/1.1\r\nHost: shop.example\r\n{header}\r\n\r\n");
    let raw = |name, header: &[u8]| {
        let bytes = [
            &b"GET /in HTTP/1.1\r\nHost: shop.example\r\n"[..],
            header,
            b"\r\n\r\n",
        ];
        case(name, Refused(BAD), bytes.concat())
    };
    vec![
        case("a folded header", Refused(BAD), with("X-A: b\r\n c")),
        case(
            "a header folded by a tab",
            Refused(BAD),
            with("X-A: b\r\n\tc"),
        ),
        case(
            "a fold first",
            Refused(BAD),
            "GET /in HTTP/1.1\r\n Host: shop.example\r\nHost: shop.example\r\n\r\n",
        ),
        case(
            "a folded length",
            Refused(BAD),
            post("Content-Length:\r\n 0\r\n", SMUGGLED),
        ),
        case("a line without a colon", Refused(BAD), with("X-A b")),
        case("an empty name", Refused(BAD), with(": b")),
        case("a space before the colon", Refused(BAD), with("X-A : b")),
        case("a space in the name", Refused(BAD), with("X A: b")),
        case("no token as name", Refused(BAD), with("X(A): b")),
        case("a NUL in the name", Refused(BAD), with("X\0A: b")),
        case("a NUL in the value", Refused(BAD), with("X-A: b\0c")),
        case("a control in the value", Refused(BAD), with("X-A: b\x01c")),
        case("a DEL in the value", Refused(BAD), with("X-A: b\x7fc")),
        case(
            "a CR in the value",
            Refused(BAD),
            with("X-A: b\rTransfer-Encoding: chunked"),
        ),
        case(
            "an LF in the value",
            Refused(BAD_OR_LATE),
            with("X-A: b\nTransfer-Encoding: chunked"),
        ),
        case(
            "LF as line end",
            Refused(BAD_OR_LATE),
            "GET /in HTTP/1.1\nHost: shop.example\n\n",
        ),
        case(
            "LF LF as the end of the head",
            Refused(BAD_OR_LATE),
            format!("GET /in HTTP/1.1\r\nHost: shop.example\n\n{SMUGGLED}"),
        ),
        case("CR CR LF", Refused(BAD_OR_LATE), with("X-A: b\r\r\nX-B: c")),
        raw("a byte over 127 in the name", b"X-\xff: b"),
        raw("UTF-8 in the name", "X-é: b".as_bytes()),
        case(
            "a first request in order, the second not",
            OneThen(BAD),
            format!("{}GET /in HTTP/1.1\r\nX A: b\r\n\r\n", get("/in")),
        ),
        case(
            "an unknown expectation",
            Refused(&[400, 417]),
            with("Expect: the-impossible"),
        ),
    ]
}

fn sizes() -> Vec<Case> {
    let long = "x".repeat(9_000);
    let many = "X-A: b\r\n".repeat(60);
    let head = |headers: &str| format!("GET /in HTTP/1.1\r\nHost: shop.example\r\n{headers}\r\n");
    vec![
        case(
            "a long target",
            Refused(&[414, 431]),
            line(&format!("GET /in?{long} HTTP/1.1")),
        ),
        case(
            "a long header",
            Refused(&[431]),
            head(&format!("X-A: {long}\r\n")),
        ),
        case(
            "a long name",
            Refused(&[431]),
            head(&format!("{long}: a\r\n")),
        ),
        case("many headers", Refused(&[431]), head(&many)),
        case(
            "an endless first line",
            Refused(&[400, 414, 431]),
            "G".repeat(9_000),
        ),
    ]
}
