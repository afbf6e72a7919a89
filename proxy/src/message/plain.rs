//! Plain requests: a GET or HEAD whose head says nothing that concerns the connection, or a body. They pass pingora by.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::head::{self, split_field};

/// Says to a store host that nobody asked for this but the proxy, so that it is no call to be counted.
pub(crate) const FILL: HeaderName = HeaderName::from_static(FILL_NAME);
const FILL_NAME: &str = "store-cache-fill";

/// Fields that make a request less plain: they end with this hop, mean a body, or are for the proxy alone to say.
const AWKWARD: [&[u8]; 13] = [
    b"te",
    b"expect",
    b"trailer",
    b"upgrade",
    b"keep-alive",
    b"content-length",
    b"http2-settings",
    b"proxy-connection",
    b"transfer-encoding",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"connection",
    FILL_NAME.as_bytes(),
];

/// Fields that tell where a request came from, and in which trace. What goes on of them is decided anew.
const ORIGIN: [&str; 7] = [
    "forwarded",
    "traceparent",
    "tracestate",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Headers that change nothing about an answer that is kept whole and does not vary.
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
    pub(crate) is_head: bool,
    pub(crate) target: &'a str,
    pub(crate) host: &'a str,
    pub(crate) user_agent: Option<&'a str>,
    /// Whether nothing in it changes an answer that is kept whole and does not vary.
    pub(crate) is_harmless: bool,
    /// What it says of its origin.
    pub(crate) origin: HeaderMap,
    head: &'a [u8],
}

/// What becomes of a field.
enum Field {
    Host,
    UserAgent,
    Origin,
    Harmless,
    Other,
}

impl<'a> PlainRequest<'a> {
    /// The parts of a head that was checked; none if it is less plain.
    pub(crate) fn read(head: &'a [u8]) -> Option<Self> {
        let mut lines = head::lines(head);
        let line = lines.next()?.strip_suffix(b" HTTP/1.1")?;
        let (is_head, target) = match line.strip_prefix(b"GET ") {
            Some(target) => (false, target),
            None => (true, line.strip_prefix(b"HEAD ")?),
        };
        if !target.starts_with(b"/") {
            return None;
        }
        let (mut host, mut user_agent, mut is_harmless) = (None, None, true);
        let mut origin = HeaderMap::new();
        for line in lines {
            let (name, value) = split_field(line).ok()?;
            match kind(name, value)? {
                Field::Host => host = Some(value),
                Field::UserAgent => user_agent = std::str::from_utf8(value).ok(),
                Field::Harmless => {}
                Field::Origin => {
                    is_harmless = false;
                    let name = HeaderName::from_bytes(name).ok()?;
                    origin.append(name, HeaderValue::from_bytes(value).ok()?);
                }
                Field::Other => is_harmless = false,
            }
        }
        Some(Self {
            is_head,
            target: std::str::from_utf8(target).ok()?,
            host: std::str::from_utf8(host?).ok()?,
            user_agent,
            is_harmless,
            origin,
            head,
        })
    }

    /// Bytes of the whole head.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len()
    }

    pub(crate) fn method(&self) -> &'static str {
        match self.is_head {
            true => "HEAD",
            false => "GET",
        }
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &'a str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The first line and all others that go on as they came.
    pub(crate) fn lines_that_stay(&self) -> impl Iterator<Item = &'a [u8]> {
        head::lines(self.head).filter(|line| {
            let name = memchr::memchr(b':', line).map_or(&line[..0], |colon| &line[..colon]);
            !is_origin(name) && !name.eq_ignore_ascii_case(b"connection")
        })
    }

    /// The value of the first field of this name.
    pub(crate) fn field(&self, name: &HeaderName) -> Option<&'a [u8]> {
        let fields = head::lines(self.head).skip(1);
        let mut fields = fields.filter_map(|line| split_field(line).ok());
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name.as_str().as_bytes()));
        found.map(|(_, value)| value)
    }
}

/// None if the field makes the request less plain.
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

    fn with(line: &str) -> String {
        format!("GET /a?b HTTP/1.1\r\nHost: shop\r\n{line}\r\n\r\n")
    }

    #[test]
    fn a_plain_request_is_read_in_parts() {
        let head = "HEAD /a?b HTTP/1.1\r\nHost: shop\r\nUser-Agent: x\r\nConnection: keep-alive\r\n\
                    Forwarded: for=1.2.3.4\r\nX-Tag: 1\r\n\r\n";
        let plain = PlainRequest::read(head.as_bytes()).expect("plain");
        assert_eq!(
            (
                plain.method(),
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
            "Connection: close",
            "Connection: keep-alive, te",
            "Keep-Alive: timeout=5",
            "TE: trailers",
            "Trailer: x",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "Content-Length: 0",
            "Proxy-Authorization: x",
            "Store-Cache-Fill: ?1",
        ] {
            assert_eq!(PlainRequest::read(with(line).as_bytes()), None, "{line}");
        }
        for line in [
            "POST / HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET / HTTP/1.0",
            "GET http://a/ HTTP/1.1",
        ] {
            let head = format!("{line}\r\nHost: shop\r\n\r\n");
            assert_eq!(PlainRequest::read(head.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn what_may_change_a_kept_answer_is_not_harmless() {
        let is_harmless =
            |line| PlainRequest::read(with(line).as_bytes()).map(|plain| plain.is_harmless);
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
            "Anything: else",
        ] {
            assert_eq!(is_harmless(line), Some(false), "{line}");
        }
    }
}
