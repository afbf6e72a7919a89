//! Plain requests: those with at most a small body and without fields about the connection, except for whether it
//! closes. They take the direct way, past pingora.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::head::{self, Body, HeadForm};

/// Tells a store host that the request comes from the proxy and not from a client, so that it is not counted as a call.
pub(crate) const FILL: HeaderName = HeaderName::from_static(FILL_NAME);
const FILL_NAME: &str = "store-cache-fill";

/// Largest small body, in bytes. A small body has arrived completely before an upstream is asked, and is kept for
/// another try.
pub(crate) const SMALL_BODY: u64 = 64 * 1024;

/// Most bytes of a body that are read at a time, in either version: HTTP/2 has frames of this size.
pub(crate) const PIECE: usize = 16 * 1024;

/// Fields that make a request less plain: they end with this hop, mean a body, or may be set by the proxy only.
const AWKWARD: [&[u8]; 12] = [
    b"te",
    b"expect",
    b"trailer",
    b"upgrade",
    b"keep-alive",
    b"http2-settings",
    b"proxy-connection",
    b"transfer-encoding",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"connection",
    FILL_NAME.as_bytes(),
];

/// Fields that tell where a request came from, and its trace. The proxy decides anew which of them go on.
const ORIGIN: [&str; 7] = [
    "forwarded",
    "traceparent",
    "tracestate",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Whether a field goes on to the server unchanged: it does not end with this hop, and is not set by the proxy.
pub(crate) fn goes_on(name: &str) -> bool {
    let is = |other: &[u8]| name.as_bytes().eq_ignore_ascii_case(other);
    !AWKWARD.iter().any(|other| is(other)) && !ORIGIN.iter().any(|other| is(other.as_bytes()))
}

/// Headers that make no difference to a kept answer that is complete and does not vary.
const HARMLESS: [&[u8]; 12] = [
    b"accept",
    b"accept-encoding",
    b"accept-language",
    b"user-agent",
    b"referer",
    b"origin",
    b"dnt",
    b"sec-fetch-dest",
    b"sec-fetch-mode",
    b"sec-fetch-site",
    b"priority",
    b"upgrade-insecure-requests",
];

/// The head of a plain request, in parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlainRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) host: &'a str,
    pub(crate) user_agent: Option<&'a str>,
    /// Whether no header makes a difference to a kept answer that is complete and does not vary.
    pub(crate) is_harmless: bool,
    /// Whether the client closes the connection after this request.
    pub(crate) closes: bool,
    /// Length of the body in bytes.
    pub(crate) body_bytes: usize,
    /// The fields on the request's origin and trace, see [`ORIGIN`].
    pub(crate) origin: HeaderMap,
    head: &'a [u8],
}

/// How a field is treated.
enum Field {
    Host,
    UserAgent,
    Origin,
    Harmless,
    Closes,
    Other,
}

impl<'a> PlainRequest<'a> {
    /// The parts of a checked head of this form; `None` if the request is not plain.
    pub(crate) fn read(head: &'a [u8], form: HeadForm) -> Option<Self> {
        let body_bytes = match form.body {
            Body::Length(length @ 0..=SMALL_BODY) if form.is_simple => length as usize,
            Body::Length(_) | Body::Chunked => return None,
        };
        let mut lines = head::lines(head);
        let line = lines.next()?.strip_suffix(b" HTTP/1.1")?;
        let (method, target) = line.split_at(memchr::memchr(b' ', line)?);
        let target = &target[1..];
        if !target.starts_with(b"/") {
            return None;
        }
        let (mut host, mut user_agent, mut closes) = (None, None, false);
        let mut is_harmless = method == b"GET" && body_bytes == 0;
        let mut origin = HeaderMap::new();
        for line in lines {
            let (name, value) = head::field(line);
            match kind(name, value)? {
                Field::Host => host = Some(value),
                Field::UserAgent => user_agent = std::str::from_utf8(value).ok(),
                Field::Harmless => {}
                Field::Closes => (closes, is_harmless) = (true, false),
                Field::Origin => {
                    is_harmless = false;
                    let name = HeaderName::from_bytes(name).ok()?;
                    origin.append(name, HeaderValue::from_bytes(value).ok()?);
                }
                Field::Other => is_harmless = false,
            }
        }
        Some(Self {
            method: std::str::from_utf8(method).ok()?,
            target: std::str::from_utf8(target).ok()?,
            host: std::str::from_utf8(host?).ok()?,
            user_agent,
            is_harmless,
            closes,
            body_bytes,
            origin,
            head,
        })
    }

    /// Length of the whole head in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len()
    }

    /// Whether the request is a HEAD, whose answer has no body.
    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &'a str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The request line and all header lines that go on unchanged.
    pub(crate) fn lines_that_stay(&self) -> impl Iterator<Item = &'a [u8]> {
        head::lines(self.head).filter(|line| {
            let (name, _) = head::field(line);
            !is_origin(name) && !name.eq_ignore_ascii_case(b"connection")
        })
    }

    /// The value of the first field of this name.
    pub(crate) fn field(&self, name: &HeaderName) -> Option<&'a [u8]> {
        let mut fields = head::lines(self.head).skip(1).map(head::field);
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name.as_str().as_bytes()));
        found.map(|(_, value)| value)
    }
}

/// How a field is treated; `None` if it makes the request less plain.
fn kind(name: &[u8], value: &[u8]) -> Option<Field> {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    if is(b"host") {
        return Some(Field::Host);
    }
    if is(b"user-agent") {
        return Some(Field::UserAgent);
    }
    if HARMLESS.iter().any(|harmless| is(harmless)) {
        return Some(Field::Harmless);
    }
    if is(b"connection") && value.eq_ignore_ascii_case(b"keep-alive") {
        return Some(Field::Harmless);
    }
    if is(b"connection") && value.eq_ignore_ascii_case(b"close") {
        return Some(Field::Closes);
    }
    if AWKWARD.iter().any(|awkward| is(awkward)) {
        return None;
    }
    Some(if is_origin(name) {
        Field::Origin
    } else {
        Field::Other
    })
}

fn is_origin(name: &[u8]) -> bool {
    ORIGIN
        .iter()
        .any(|origin| name.eq_ignore_ascii_case(origin.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_BODY: HeadForm = HeadForm {
        body: Body::Length(0),
        is_simple: true,
    };

    fn with(line: &str) -> String {
        format!("GET /a?b HTTP/1.1\r\nHost: shop\r\n{line}\r\n\r\n")
    }

    fn read(head: &str) -> Option<PlainRequest<'_>> {
        PlainRequest::read(head.as_bytes(), NO_BODY)
    }

    #[test]
    fn a_plain_request_is_read_in_parts() {
        let head = "HEAD /a?b HTTP/1.1\r\nHost: shop\r\nUser-Agent: x\r\nConnection: keep-alive\r\n\
                    Forwarded: for=1.2.3.4\r\nX-Tag: 1\r\n\r\n";
        let plain = read(head).expect("plain");
        assert_eq!(
            (
                plain.method,
                plain.target,
                plain.path(),
                plain.host,
                plain.user_agent
            ),
            ("HEAD", "/a?b", "/a", "shop", Some("x"))
        );
        assert_eq!(plain.origin["forwarded"], "for=1.2.3.4");
        assert_eq!(
            plain.field(&HeaderName::from_static("x-tag")),
            Some(&b"1"[..])
        );
        let stay: Vec<_> = plain
            .lines_that_stay()
            .map(String::from_utf8_lossy)
            .collect();
        assert_eq!(
            stay,
            [
                "HEAD /a?b HTTP/1.1",
                "Host: shop",
                "User-Agent: x",
                "X-Tag: 1"
            ]
        );
    }

    #[test]
    fn what_concerns_the_connection_is_not_plain() {
        for line in [
            "Connection: keep-alive, te",
            "Connection: close, te",
            "Keep-Alive: timeout=5",
            "TE: trailers",
            "Trailer: x",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "Proxy-Authorization: x",
            "Store-Cache-Fill: ?1",
        ] {
            assert_eq!(read(&with(line)), None, "{line}");
        }
        for line in [
            "OPTIONS * HTTP/1.1",
            "GET / HTTP/1.0",
            "GET http://a/ HTTP/1.1",
        ] {
            let head = format!("{line}\r\nHost: shop\r\n\r\n");
            assert_eq!(read(&head), None, "{line}");
        }
    }

    #[test]
    fn a_request_may_have_a_small_body_and_be_the_last() {
        let form = |body| HeadForm { body, ..NO_BODY };
        let head = with("Content-Length: 9\r\nConnection: Close").replace("GET", "POST");
        let head = head.as_bytes();
        let plain = PlainRequest::read(head, form(Body::Length(9))).expect("plain");
        assert_eq!(
            (plain.method, plain.body_bytes, plain.closes),
            ("POST", 9, true)
        );
        assert!(!plain.is_harmless);
        let stay: Vec<_> = plain.lines_that_stay().collect();
        assert_eq!(stay.last(), Some(&&b"Content-Length: 9"[..]));
        for body in [Body::Length(SMALL_BODY + 1), Body::Chunked] {
            assert_eq!(PlainRequest::read(head, form(body)), None, "{body:?}");
        }
    }

    #[test]
    fn what_may_change_a_kept_answer_is_not_harmless() {
        let is_harmless = |line| read(&with(line)).map(|plain| plain.is_harmless);
        for line in [
            "Accept: */*",
            "ACCEPT-ENCODING: br",
            "Connection: Keep-Alive",
            "Origin: x",
        ] {
            assert_eq!(is_harmless(line), Some(true), "{line}");
        }
        for line in [
            "Cookie: a=b",
            "Authorization: x",
            "If-None-Match: *",
            "Cache-Control: no-cache",
            "Range: bytes=0-1",
            "X-Request-Id: mine",
            "X-Forwarded-For: 1.2.3.4",
            "Content-Length: 0",
            "Connection: close",
            "Anything: else",
        ] {
            assert_eq!(is_harmless(line), Some(false), "{line}");
        }
    }
}
