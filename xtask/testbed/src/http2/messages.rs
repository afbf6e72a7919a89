//! Cases about the content of heads and the length of bodies: some bytes are valid in a frame but not in a line of
//! HTTP/1.1 (RFC 9113, section 8).

use super::frames::{END_HEADERS, END_STREAM, MOST_BYTES, frame, kind};
use super::hpack::{Field, block, fields, request};
use super::{Case, Expect, INTENDED, case, last_data, post_head};

use Expect::{Either, Problem, Refused, Served};

/// The text that an attacker wants a server to take for a second request.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// A difference from a plain GET: the name of the case, a field, and the field's value.
type Difference = (&'static str, &'static str, &'static str);

/// Fields that a server must refuse beside the usual ones.
const REFUSED_FIELDS: &[Difference] = &[
    ("two methods (8.3.1)", ":method", "GET"),
    ("two schemes (8.3.1)", ":scheme", "http"),
    ("two paths (8.3.1)", ":path", "/smuggled"),
    ("two authorities (8.3.1)", ":authority", "a.example"),
    ("an unknown pseudo-header field (8.3)", ":x", "y"),
    ("a status in a request (8.3)", ":status", "200"),
    (
        "a protocol that nobody agreed on (RFC 8441, 4)",
        ":protocol",
        "websocket",
    ),
    ("upper case in a name (8.2.1)", "X-A", "d"),
    ("a space in a name (8.2.1)", "x a", "d"),
    ("a colon in a name (8.2.1)", "x-a:", "d"),
    ("no name (8.2.1)", "", "d"),
    ("CR LF in a name (8.2.1)", "x-a: b\r\nx-c", "d"),
    ("DEL in a name (8.2.1)", "x\x7f", "d"),
    ("CR LF in a value (8.2.1)", "x-a", "b\r\nx-c: d"),
    ("CR in a value (8.2.1)", "x-a", "b\rc"),
    ("LF in a value (8.2.1)", "x-a", "b\nx-c: d"),
    ("NUL in a value (8.2.1)", "x-a", "b\0"),
    ("a tab before a value (8.2.1)", "x-a", "\tb"),
    ("a space before a value (8.2.1)", "x-a", " b"),
    ("a tab after a value (8.2.1)", "x-a", "b\t"),
    ("a space after a value (8.2.1)", "x-a", "b "),
    ("Connection (8.2.2)", "connection", "close"),
    ("Keep-Alive (8.2.2)", "keep-alive", "timeout=5"),
    ("Proxy-Connection (8.2.2)", "proxy-connection", "keep-alive"),
    ("Upgrade (8.2.2)", "upgrade", "websocket"),
    ("Transfer-Encoding (8.2.2)", "transfer-encoding", "chunked"),
    ("TE with a coding (8.2.2)", "te", "gzip"),
];

/// Fields that do no harm beside the usual ones.
const SERVED_FIELDS: &[Difference] = &[
    ("a host that says the same (8.3.1)", "host", "shop.example"),
    ("a tab within a value (8.2.1)", "x-a", "b\tc"),
    ("an empty value (8.2.1)", "x-a", ""),
    ("bytes beyond ASCII in a value (8.2.1)", "x-a", "ä"),
    ("TE with trailers (8.2.2)", "te", "trailers"),
];

/// Values that a server must refuse instead of a pseudo-header field's usual one.
const REFUSED_VALUES: &[Difference] = &[
    ("a space in the path (8.3.1)", ":path", "/in put"),
    ("a tab in the path (8.3.1)", ":path", "/in\tput"),
    (
        "a quotation mark in the query (RFC 3986, 3.4)",
        ":path",
        "/in?a=\"",
    ),
    ("an empty path (8.3.1)", ":path", ""),
    ("no slash in the path (8.3.1)", ":path", "in"),
    ("an asterisk for GET (8.3.1)", ":path", "*"),
    ("no path before a query (8.3.1)", ":path", "?a=b"),
    ("no letters in the method (8.3.1)", ":method", ""),
    (
        "a space in the authority (8.3.1)",
        ":authority",
        "shop example",
    ),
    ("CR LF in the authority (8.3.1)", ":authority", "a\r\nx: y"),
    (
        "a name and password in the authority (8.3.1)",
        ":authority",
        "a:b@shop.example",
    ),
    (
        "a port of letters (RFC 3986, 3.2.3)",
        ":authority",
        "shop.example:x",
    ),
    ("a scheme of other signs (8.3.1)", ":scheme", "ht tp"),
];

/// Values that a server may serve or refuse instead of a pseudo-header field's usual one.
const OPEN_VALUES: &[Difference] = &[
    (
        "a quotation mark in the path (RFC 3986, 3.3)",
        ":path",
        "/in\"",
    ),
    ("a fragment in the path (8.3.1)", ":path", "/in#part"),
    ("a fragment after a query (8.3.1)", ":path", "/in?a=b#part"),
    ("another scheme's name (8.3.1)", ":scheme", "ftp"),
];

pub(super) fn cases() -> Vec<Case> {
    let refused = REFUSED_FIELDS.iter().map(|more| with(more, Refused));
    let served = SERVED_FIELDS.iter().map(|more| with(more, Served));
    let mut cases: Vec<Case> = refused.chain(served).collect();
    cases.extend(REFUSED_VALUES.iter().map(|other| instead(other, Refused)));
    cases.extend(OPEN_VALUES.iter().map(|other| instead(other, Either)));
    cases.extend(heads());
    cases.extend(lengths());
    cases.extend(trailers());
    cases
}

/// A request without a body, with these fields.
fn head(name: &'static str, expect: Expect, fields: &[Field]) -> Case {
    let head = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
    case(name, expect, [head])
}

/// A GET with one more field.
fn with(&(name, field, value): &Difference, expect: Expect) -> Case {
    head(name, expect, &request("GET", &[(field, value)]))
}

/// A GET with another value for one of the pseudo-header fields.
fn instead(&(name, field, value): &Difference, expect: Expect) -> Case {
    head(name, expect, &changed(field, value))
}

fn changed(field: &str, value: &str) -> Vec<Field> {
    let mut fields = request("GET", &[]);
    for (name, old) in &mut fields {
        if name == field.as_bytes() {
            *old = value.into();
        }
    }
    fields
}

/// A GET without one of the pseudo-header fields.
fn without(name: &'static str, expect: Expect, field: &str, more: &[(&str, &str)]) -> Case {
    let mut fields = request("GET", more);
    fields.retain(|(name, _)| name != field.as_bytes());
    head(name, expect, &fields)
}

fn heads() -> Vec<Case> {
    let get = |name, expect, more: &[(&str, &str)]| head(name, expect, &request("GET", more));
    let smuggled = format!("{INTENDED} HTTP/1.1\r\nHost: shop.example\r\n\r\n{SMUGGLED}");
    let late = fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "shop.example"),
        ("x-a", "b"),
        (":path", INTENDED),
    ]);
    let connect = fields(&[(":method", "CONNECT"), (":authority", "shop.example:443")]);
    vec![
        without("no method (8.3.1)", Refused, ":method", &[]),
        without("no scheme (8.3.1)", Refused, ":scheme", &[]),
        without("no path (8.3.1)", Refused, ":path", &[]),
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
        get(
            "a cookie in crumbs (8.2.3)",
            Served,
            &[("cookie", "a=b"), ("cookie", "c=d")],
        ),
        long_value(),
        get(
            "very many fields (RFC 6585, 5)",
            Refused,
            &[("x-a", "b"); 500],
        ),
        get(
            "an expectation that nobody knows (RFC 9110, 10.1.1)",
            Problem(417),
            &[("expect", "x")],
        ),
        head(
            "a request in the path (8.3.1)",
            Refused,
            &changed(":path", &smuggled),
        ),
        head(
            "a request in the method (8.3.1)",
            Refused,
            &changed(":method", &smuggled),
        ),
        instead(&("a query (8.3.1)", ":path", "/in?a=b&c=%20"), Served),
        head("CONNECT (8.5)", Refused, &connect),
        without(
            "a host that ends the quotation (RFC 7239, 4)",
            Refused,
            ":authority",
            &[("host", "a\", for=6.6.6.6;host=\"b")],
        ),
        without(
            "two hosts (RFC 9110, 7.2)",
            Refused,
            ":authority",
            &[("host", "a.example"), ("host", "b.example")],
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

/// A POST that announces these lengths and sends five bytes.
fn announced(name: &'static str, expect: Expect, lengths: &[&str]) -> Case {
    let lengths = lengths.iter().map(|value| ("content-length", *value));
    let fields = request("POST", &lengths.collect::<Vec<_>>());
    let head = frame(kind::HEADERS, END_HEADERS, 1, &block(&fields));
    case(name, expect, [head, last_data(b"hello")])
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
        announced("as much as announced (8.1.1)", Served, &["5"]),
        announced("less than announced (8.1.1)", Refused, &["10"]),
        announced("more than announced (8.1.1)", Refused, &["3"]),
        announced("a body where none was announced (8.1.1)", Refused, &["0"]),
        announced("two lengths (RFC 9110, 8.6)", Refused, &["5", "0"]),
        announced("a length with a plus (RFC 9110, 8.6)", Refused, &["+5"]),
        announced("a length of letters (RFC 9110, 8.6)", Refused, &["five"]),
        announced(
            "a length beyond 64 bits (RFC 9110, 8.6)",
            Refused,
            &["18446744073709551621"],
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
