//! Cases about the content of heads and the length of bodies: some bytes are valid in a frame but not in a line of
//! HTTP/1.1 (RFC 9113, section 8).

use super::frames::{END_HEADERS, END_STREAM, MOST_BYTES, frame, kind};
use super::hpack::{Field, block, fields, request};
use super::{Case, Expect, INTENDED, case, last_data, post_head};

use Expect::{Either, Problem, Refused, Served};

/// The text that an attacker wants a server to take for a second request.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = pseudo_headers();
    cases.extend(names_and_values());
    cases.extend(connection_headers());
    cases.extend(targets());
    cases.extend(lengths());
    cases.extend(trailers());
    cases
}

/// A request without a body, with these fields.
fn head(name: &'static str, expect: Expect, fields: &[Field]) -> Case {
    let head = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
    case(name, expect, [head])
}

/// A GET with the usual fields, then `more`.
fn with(name: &'static str, expect: Expect, more: &[(&str, &str)]) -> Case {
    head(name, expect, &request("GET", more))
}

/// A GET with another value for one of the pseudo-header fields.
fn instead(name: &'static str, expect: Expect, field: &str, value: &str) -> Case {
    let mut fields = request("GET", &[]);
    for (name, old) in &mut fields {
        if name == field.as_bytes() {
            *old = value.into();
        }
    }
    head(name, expect, &fields)
}

/// A GET without one of the pseudo-header fields.
fn without(name: &'static str, expect: Expect, field: &str, more: &[(&str, &str)]) -> Case {
    let mut fields = request("GET", more);
    fields.retain(|(name, _)| name != field.as_bytes());
    head(name, expect, &fields)
}

fn pseudo_headers() -> Vec<Case> {
    let path = (":path", INTENDED);
    let late = fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "shop.example"),
        ("x-a", "b"),
        path,
    ]);
    vec![
        without("no method (8.3.1)", Refused, ":method", &[]),
        without("no scheme (8.3.1)", Refused, ":scheme", &[]),
        without("no path (8.3.1)", Refused, ":path", &[]),
        with("two methods (8.3.1)", Refused, &[(":method", "GET")]),
        with("two schemes (8.3.1)", Refused, &[(":scheme", "http")]),
        with("two paths (8.3.1)", Refused, &[(":path", "/smuggled")]),
        with(
            "two authorities (8.3.1)",
            Refused,
            &[(":authority", "a.example")],
        ),
        with(
            "an unknown pseudo-header field (8.3)",
            Refused,
            &[(":x", "y")],
        ),
        with(
            "a status in a request (8.3)",
            Refused,
            &[(":status", "200")],
        ),
        with(
            "a protocol that nobody agreed on (RFC 8441, 4)",
            Refused,
            &[(":protocol", "websocket")],
        ),
        head(
            "a pseudo-header field after another field (8.3)",
            Refused,
            &late,
        ),
        without(
            "a host instead of the authority (8.3.1)",
            Served,
            ":authority",
            &[("host", "shop.example")],
        ),
        with(
            "a host that says the same (8.3.1)",
            Served,
            &[("host", "shop.example")],
        ),
    ]
}

fn names_and_values() -> Vec<Case> {
    vec![
        with("upper case in a name (8.2.1)", Refused, &[("X-A", "d")]),
        with("a space in a name (8.2.1)", Refused, &[("x a", "d")]),
        with("a colon in a name (8.2.1)", Refused, &[("x-a:", "d")]),
        with("no name (8.2.1)", Refused, &[("", "d")]),
        with(
            "CR LF in a name (8.2.1)",
            Refused,
            &[("x-a: b\r\nx-c", "d")],
        ),
        with("DEL in a name (8.2.1)", Refused, &[("x\x7f", "d")]),
        with(
            "CR LF in a value (8.2.1)",
            Refused,
            &[("x-a", "b\r\nx-c: d")],
        ),
        with("CR in a value (8.2.1)", Refused, &[("x-a", "b\rc")]),
        with("LF in a value (8.2.1)", Refused, &[("x-a", "b\nx-c: d")]),
        with("NUL in a value (8.2.1)", Refused, &[("x-a", "b\0")]),
        with("a tab before a value (8.2.1)", Refused, &[("x-a", "\tb")]),
        with("a space before a value (8.2.1)", Refused, &[("x-a", " b")]),
        with("a tab after a value (8.2.1)", Refused, &[("x-a", "b\t")]),
        with("a space after a value (8.2.1)", Refused, &[("x-a", "b ")]),
        with("a tab within a value (8.2.1)", Served, &[("x-a", "b\tc")]),
        with("an empty value (8.2.1)", Served, &[("x-a", "")]),
        with(
            "bytes beyond ASCII in a value (8.2.1)",
            Served,
            &[("x-a", "ä")],
        ),
        with(
            "a cookie in crumbs (8.2.3)",
            Served,
            &[("cookie", "a=b"), ("cookie", "c=d")],
        ),
        long_value(),
        with(
            "very many fields (RFC 6585, 5)",
            Refused,
            &[("x-a", "b"); 500],
        ),
    ]
}

/// A head in three frames, larger than any limit of the servers.
fn long_value() -> Case {
    let block = block(&request("GET", &[("x-a", &"x".repeat(40_000))]));
    let mut frames = block
        .chunks(MOST_BYTES)
        .enumerate()
        .map(|(n, piece)| match n {
            0 => frame(kind::HEADERS, END_STREAM, 1, piece),
            _ => frame(kind::CONTINUATION, 0, 1, piece),
        })
        .collect::<Vec<_>>();
    frames.push(frame(kind::CONTINUATION, END_HEADERS, 1, &[]));
    case("a very long value (RFC 6585, 5)", Refused, frames)
}

fn connection_headers() -> Vec<Case> {
    vec![
        with("Connection (8.2.2)", Refused, &[("connection", "close")]),
        with(
            "Keep-Alive (8.2.2)",
            Refused,
            &[("keep-alive", "timeout=5")],
        ),
        with(
            "Proxy-Connection (8.2.2)",
            Refused,
            &[("proxy-connection", "keep-alive")],
        ),
        with("Upgrade (8.2.2)", Refused, &[("upgrade", "websocket")]),
        with(
            "Transfer-Encoding (8.2.2)",
            Refused,
            &[("transfer-encoding", "chunked")],
        ),
        with("TE with a coding (8.2.2)", Refused, &[("te", "gzip")]),
        with("TE with trailers (8.2.2)", Served, &[("te", "trailers")]),
        with(
            "an expectation that nobody knows (RFC 9110, 10.1.1)",
            Problem(417),
            &[("expect", "x")],
        ),
    ]
}

fn targets() -> Vec<Case> {
    let smuggled = format!("{INTENDED} HTTP/1.1\r\nHost: shop.example\r\n\r\n{SMUGGLED}");
    let connect = fields(&[(":method", "CONNECT"), (":authority", "shop.example:443")]);
    let mut cases = vec![
        instead("a request in the path (8.3.1)", Refused, ":path", &smuggled),
        instead("a space in the path (8.3.1)", Refused, ":path", "/in put"),
        instead("a tab in the path (8.3.1)", Refused, ":path", "/in\tput"),
        instead(
            "a quotation mark in the path (RFC 3986, 3.3)",
            Either,
            ":path",
            "/in\"",
        ),
        instead(
            "a quotation mark in the query (RFC 3986, 3.4)",
            Refused,
            ":path",
            "/in?a=\"",
        ),
        instead("an empty path (8.3.1)", Refused, ":path", ""),
        instead("no slash in the path (8.3.1)", Refused, ":path", "in"),
        instead("an asterisk for GET (8.3.1)", Refused, ":path", "*"),
        instead(
            "a fragment in the path (8.3.1)",
            Either,
            ":path",
            "/in#part",
        ),
        instead(
            "a fragment after a query (8.3.1)",
            Either,
            ":path",
            "/in?a=b#part",
        ),
        instead("no path before a query (8.3.1)", Refused, ":path", "?a=b"),
        instead("a query (8.3.1)", Served, ":path", "/in?a=b&c=%20"),
        instead(
            "a request in the method (8.3.1)",
            Refused,
            ":method",
            &smuggled,
        ),
        instead("no letters in the method (8.3.1)", Refused, ":method", ""),
        instead(
            "a space in the authority (8.3.1)",
            Refused,
            ":authority",
            "shop example",
        ),
        instead(
            "CR LF in the authority (8.3.1)",
            Refused,
            ":authority",
            "a\r\nx: y",
        ),
        instead(
            "a name and password in the authority (8.3.1)",
            Refused,
            ":authority",
            "a:b@shop.example",
        ),
        instead(
            "a port of letters (RFC 3986, 3.2.3)",
            Refused,
            ":authority",
            "shop.example:x",
        ),
        instead("another scheme's name (8.3.1)", Either, ":scheme", "ftp"),
        instead(
            "a scheme of other signs (8.3.1)",
            Refused,
            ":scheme",
            "ht tp",
        ),
    ];
    cases.push(head("CONNECT (8.5)", Refused, &connect));
    cases.push(without(
        "a host that ends the quotation (RFC 7239, 4)",
        Refused,
        ":authority",
        &[("host", "a\", for=6.6.6.6;host=\"b")],
    ));
    cases.push(without(
        "two hosts (RFC 9110, 7.2)",
        Refused,
        ":authority",
        &[("host", "a.example"), ("host", "b.example")],
    ));
    cases
}

/// A POST that announces `length` and sends `body`.
fn announced(name: &'static str, expect: Expect, lengths: &[&str], body: &[u8]) -> Case {
    let lengths: Vec<(&str, &str)> = lengths
        .iter()
        .map(|value| ("content-length", *value))
        .collect();
    let head = frame(
        kind::HEADERS,
        END_HEADERS,
        1,
        &block(&request("POST", &lengths)),
    );
    case(name, expect, [head, last_data(body)])
}

fn lengths() -> Vec<Case> {
    let no_body = |name, expect, length| {
        head(
            name,
            expect,
            &request("POST", &[("content-length", length)]),
        )
    };
    vec![
        announced("as much as announced (8.1.1)", Served, &["5"], b"hello"),
        announced("less than announced (8.1.1)", Refused, &["10"], b"hello"),
        announced("more than announced (8.1.1)", Refused, &["3"], b"hello"),
        announced(
            "a body where none was announced (8.1.1)",
            Refused,
            &["0"],
            b"hello",
        ),
        announced(
            "two lengths (RFC 9110, 8.6)",
            Refused,
            &["5", "0"],
            b"hello",
        ),
        announced(
            "a length with a plus (RFC 9110, 8.6)",
            Refused,
            &["+5"],
            b"hello",
        ),
        announced(
            "a length of letters (RFC 9110, 8.6)",
            Refused,
            &["five"],
            b"hello",
        ),
        announced(
            "a length beyond 64 bits (RFC 9110, 8.6)",
            Refused,
            &["18446744073709551621"],
            b"hello",
        ),
        no_body("no body where one was announced (8.1.1)", Refused, "5"),
        no_body("no body as announced (8.1.1)", Served, "0"),
    ]
}

fn trailers() -> Vec<Case> {
    let trailer = |name, expect, trailers: &[(&str, &str)]| {
        let last = frame(
            kind::HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &block(&fields(trailers)),
        );
        case(
            name,
            expect,
            [post_head(), frame(kind::DATA, 0, 1, b"hello"), last],
        )
    };
    vec![
        // The h2 crate drops these two fields, so that no server behind it can be misled.
        trailer(
            "a pseudo-header field in trailers (8.1)",
            Either,
            &[(":path", "/smuggled")],
        ),
        trailer("a status in trailers (8.1)", Either, &[(":status", "200")]),
        trailer(
            "a length in trailers (RFC 9110, 6.5.1)",
            Either,
            &[("content-length", "1")],
        ),
        trailer(
            "CR LF in trailers (8.2.1)",
            Refused,
            &[("x-a", "b\r\n\r\nGET /smuggled HTTP/1.1")],
        ),
        trailer(
            "Connection in trailers (8.2.2)",
            Refused,
            &[("connection", "close")],
        ),
    ]
}
