//! Fuzz targets: messages of clients and upstreams, read by this code and by others.

use std::net::IpAddr;

use bytes::BytesMut;
use http::header::FORWARDED;
use pingora_http::RequestHeader;
use store_server::chunks::Chunks;

use super::answer_head::{self, AnswerBody};
use super::forwarded;
use super::head::{self, HeadLimits};

const LIMITS: HeadLimits = HeadLimits {
    bytes: 4096,
    lines: 64,
};

/// A head that passes the checks is read by httparse, which pingora and hyper use, as the same method, target and
/// fields.
#[test]
fn head() {
    store_fuzz::target("head", |input| {
        let Ok(Some(end)) = head::find(input, LIMITS) else {
            return;
        };
        let head = &input[..end];
        if head::check(head, LIMITS).is_err() {
            return;
        }
        let mut fields = [httparse::EMPTY_HEADER; LIMITS.lines];
        let mut request = httparse::Request::new(&mut fields);
        assert_eq!(request.parse(head), Ok(httparse::Status::Complete(end)));
        let mut lines = head::lines(head);
        let line = format!(
            "{} {} HTTP/1.{}",
            request.method.unwrap_or_default(),
            request.path.unwrap_or_default(),
            request.version.unwrap_or_default()
        );
        assert_eq!(lines.next(), Some(line.as_bytes()));
        for field in request.headers.iter() {
            let read = lines.next().map(head::split_field);
            let expected = (field.name.as_bytes(), field.value.trim_ascii());
            assert_eq!(read, Some(Ok(expected)));
        }
        assert_eq!(lines.next(), None);
    });
}

/// An answer's head is read once it is complete and not before, and the head that goes on to the client means the same.
#[test]
fn answer() {
    store_fuzz::target("answer", |input| {
        let Ok(Some(head)) = answer_head::read(input, false) else {
            return;
        };
        let part = answer_head::read(&input[..head.length - 1], false);
        assert!(!matches!(part, Ok(Some(_))));
        let mut written = BytesMut::new();
        head.write(&mut written, |_| false);
        written.extend_from_slice(b"\r\n");
        // A head with the most lines may have got one line more.
        let Ok(again) = answer_head::read(&written, false) else {
            return assert!(head.fields() == answer_head::MOST_LINES);
        };
        let again = again.expect("a whole head");
        let body = match head.body {
            AnswerBody::UntilClose => AnswerBody::Chunked,
            body => body,
        };
        assert_eq!(
            (again.status, again.body, again.length),
            (head.status, body, written.len())
        );
        for ended in ["connection", "keep-alive", "upgrade"] {
            assert!(!again.has(ended.as_bytes()), "{ended}");
        }
    });
}

/// However a body is cut into pieces, it ends where a simple reader of RFC 9112 finds its end.
#[test]
fn chunks() {
    store_fuzz::target("chunks", |input| {
        let Some((&size, body)) = input.split_first() else {
            return;
        };
        let mut whole = Chunks::default();
        let at_once = whole.follow(body);
        let mut pieces = Chunks::default();
        let one_by_one = body
            .chunks(usize::from(size).max(1))
            .try_fold(0, |sum, piece| Ok(sum + pieces.follow(piece)?));
        assert_eq!(at_once, one_by_one);
        assert_eq!(whole.is_done(), pieces.is_done());
        if let Ok(length) = at_once {
            let expected = whole.is_done().then_some(length);
            assert_eq!(chunked_length(&body[..length]), expected);
        }
    });
}

/// The length of a chunked body (RFC 9112, section 7.1); `None` if the body is incomplete.
fn chunked_length(body: &[u8]) -> Option<usize> {
    let line_at = |at: usize| {
        let rest = body.get(at..)?;
        let length = memchr::memmem::find(rest, b"\r\n")?;
        Some((&rest[..length], at + length + 2))
    };
    let mut at = 0;
    loop {
        let (line, after) = line_at(at)?;
        let digits = line.split(|&byte| byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        at = after;
        if size == 0 {
            break;
        }
        at = at.checked_add(size)?.checked_add(2)?;
    }
    loop {
        let (line, after) = line_at(at)?;
        at = after;
        if line.is_empty() {
            return Some(at);
        }
    }
}

/// Statements of an untrusted peer have no effect, and the fields of a trusted one end with what the proxy itself
/// knows.
#[test]
fn forwarded() {
    store_fuzz::target("forwarded", |input| {
        let mut request = RequestHeader::build("GET", b"/", None).expect("a request");
        for (number, line) in input.split(|&byte| byte == b'\n').enumerate() {
            let names = ["x-forwarded-for", "forwarded", "x-forwarded-proto"];
            // A field with an invalid value never arrives.
            _ = request.append_header(names[number % names.len()], line);
        }
        let peer = IpAddr::from([10, 0, 0, 1]);
        let (ours, others) = (["10.0.0.0/8"], ["192.0.2.0/24"]);
        let networks = |texts: [&str; 1]| texts.map(|text| text.parse().expect("a network"));
        let client =
            |trusted: &[ipnet::IpNet]| forwarded::client_address(peer, &request.headers, trusted);
        assert_eq!(client(&[]), peer);
        assert_eq!(client(&networks(others)), peer);
        _ = client(&networks(ours));
        for trusted in [false, true] {
            let mut told = request.clone();
            forwarded::tell(&mut told, peer, false, trusted).expect("it can be told");
            let fields: Vec<_> = told.headers.get_all(FORWARDED).iter().collect();
            let addresses: Vec<_> = told.headers.get_all("x-forwarded-for").iter().collect();
            assert_eq!((fields.len(), addresses.len()), (1, 1));
            let (field, address) = (fields[0].as_bytes(), addresses[0].as_bytes());
            assert!(field.ends_with(b"for=10.0.0.1;proto=http") && address.ends_with(b"10.0.0.1"));
            assert!(trusted || (field.starts_with(b"for=10") && address == b"10.0.0.1"));
        }
    });
}
