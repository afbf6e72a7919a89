//! The same over HTTP/2, whose messages become HTTP/1.1 on their way to the upstream: what may stand in a frame may not
//! stand in a line.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{INTENDED, SMUGGLED, probe};
use crate::support::{NO_EJECTION, PATIENCE, Rig, Upstream, shop};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

struct Case {
    name: &'static str,
    fields: Vec<(&'static str, String)>,
    body: &'static str,
    /// Whether the request may reach the upstream, as one.
    may_pass: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_http2_requests_reach_the_upstream_as_one_or_not_at_all() {
    let upstream = Upstream::start().await;
    let rig = Rig::with("", "h2c = true", &shop(NO_EJECTION, [&upstream])).await;
    let mut failures = Vec::new();
    for case in cases() {
        let before = upstream.count();
        let answered = send(&rig, &case).await;
        let probed = probe(&rig, &upstream).await;
        let requests = upstream.requests().split_off(before);
        let targets: Vec<&str> = requests.iter().map(|r| r.target()).collect();
        let good = match targets.as_slice() {
            ["/probe"] => true,
            [INTENDED, "/probe"] => case.may_pass,
            _ => false,
        };
        if !good || !answered || probed.is_err() {
            failures.push(format!(
                "{}: upstream saw {targets:?}, answered: {answered}, {probed:?}",
                case.name
            ));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(upstream.wrong(), Vec::<String>::new());
    assert_eq!(upstream.count_of("/smuggled"), 0);
}

/// The frames must be good enough for a good request to pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_http2_request_passes() {
    let upstream = Upstream::start().await;
    let rig = Rig::with("", "h2c = true", &shop("", [&upstream])).await;
    let good = case("good", &[], "hello", true);
    assert!(send(&rig, &good).await);
    assert_eq!(upstream.count_of(INTENDED), 1);
    assert_eq!(upstream.requests()[0].text(), "hello");
}

fn cases() -> Vec<Case> {
    let smuggled_path = format!("{INTENDED} HTTP/1.1\r\nHost: shop.example\r\n\r\n{SMUGGLED}");
    vec![
        case(
            "less than announced",
            &[("content-length", "10")],
            "hello",
            false,
        ),
        case(
            "more than announced",
            &[("content-length", "3")],
            "hello",
            false,
        ),
        case(
            "two lengths",
            &[("content-length", "5"), ("content-length", "0")],
            "hello",
            false,
        ),
        case(
            "a coding",
            &[("transfer-encoding", "chunked")],
            "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            false,
        ),
        case(
            "a coding and a length",
            &[("transfer-encoding", "chunked"), ("content-length", "44")],
            "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n",
            false,
        ),
        case("CR LF in a value", &[("x-a", "b\r\nx-c: d")], "", false),
        case("LF in a value", &[("x-a", "b\nx-c: d")], "", false),
        case("NUL in a value", &[("x-a", "b\0")], "", false),
        case("CR LF in a name", &[("x-a: b\r\nx-c", "d")], "", false),
        case("a colon in a name", &[("x-a:", "d")], "", false),
        case("a space in a name", &[("x a", "d")], "", false),
        case("upper case in a name", &[("X-A", "d")], "", false),
        case("a connection header", &[("connection", "close")], "", false),
        case("a second path", &[(":path", "/smuggled")], "", false),
        case("an unknown pseudo-header", &[(":x", "y")], "", false),
        case("another Host", &[("host", "evil.example")], "", true),
        instead("a request in the path", ":path", &smuggled_path),
        instead("a space in the path", ":path", "/in put"),
        instead("an empty path", ":path", ""),
        instead("no slash in the path", ":path", "in"),
        instead(
            "a request in the method",
            ":method",
            "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET",
        ),
        instead("a space in the authority", ":authority", "shop example"),
        instead("CR LF in the authority", ":authority", "a\r\nx: y"),
    ]
}

fn case(
    name: &'static str,
    more: &[(&'static str, &str)],
    body: &'static str,
    may_pass: bool,
) -> Case {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "shop.example"),
        (":path", INTENDED),
    ];
    let fields = usual.iter().chain(more);
    Case {
        name,
        fields: fields.map(|(n, v)| (*n, (*v).to_owned())).collect(),
        body,
        may_pass,
    }
}

/// A request with another value for one of the pseudo-headers.
fn instead(name: &'static str, field: &str, value: &str) -> Case {
    let mut case = case(name, &[], "", false);
    for (name, old) in &mut case.fields {
        if *name == field {
            value.clone_into(old);
        }
    }
    case
}

/// Sends the request and waits for its answer, its refusal or the end of the connection. Whether one of these came.
async fn send(rig: &Rig, case: &Case) -> bool {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &block(&case.fields)));
    bytes.extend(frame(DATA, END_STREAM, 1, case.body.as_bytes()));
    _ = stream.write_all(&bytes).await;
    let mut received = Vec::new();
    loop {
        if over(&received) {
            return true;
        }
        match timeout(PATIENCE, stream.read_buf(&mut received)).await {
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
            Err(_) => return false,
        }
    }
}

/// Whether these frames end the stream or the connection.
fn over(mut bytes: &[u8]) -> bool {
    while let [a, b, c, kind, flags, _, _, _, _, rest @ ..] = bytes {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let ends = matches!(*kind, DATA | HEADERS) && flags & END_STREAM != 0;
        if ends || matches!(*kind, RESET | GO_AWAY) {
            return true;
        }
        let Some(rest) = rest.get(length..) else {
            return false;
        };
        bytes = rest;
    }
    false
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Literal fields without indexing, in plain text (RFC 7541, 6.2.2).
fn block(fields: &[(&'static str, String)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_bytes(), value.as_bytes()] {
            let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
            block.push(length.expect("a length of seven bits"));
            block.extend(text);
        }
    }
    block
}
