//! The strict look at a request's head, before pingora's lenient one. What two servers could read differently is how
//! requests are smuggled (RFC 9112, section 11.2), so it is refused here rather than repaired.

use bytes::{BufMut, BytesMut};
use http::StatusCode;

use super::problem::Problem;
use super::target;

/// Limits of a head.
#[derive(Clone, Copy)]
pub(crate) struct HeadLimits {
    pub(crate) bytes: usize,
    pub(crate) lines: usize,
}

/// How long the head at the beginning of `bytes` is, once it is there in full.
///
/// # Errors
/// It is larger than the limit, or never ends.
pub(crate) fn find(bytes: &[u8], limits: HeadLimits) -> Result<Option<usize>, Problem> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4);
    if end.unwrap_or(bytes.len()) > limits.bytes {
        return Err(Problem::HeadTooLarge("the request's head is too large"));
    }
    if end.is_none() && has_bare_line_end(bytes) {
        // Never a head that ends as ours do, so waiting for more is of no use.
        return Err(Problem::Malformed("lines must end with CR LF"));
    }
    Ok(end)
}

fn has_bare_line_end(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| at == 0 || bytes[at - 1] != b'\r')
}

/// How a request's body ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// The body ends after so many bytes; zero when there is none.
    Length(u64),
    /// The body ends with its last chunk.
    Chunked,
}

/// The form of a head that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadForm {
    pub(crate) body: Body,
    /// Whether the head says all in the simplest way; otherwise it passes as [`simplified`].
    pub(crate) is_simple: bool,
}

/// Checks a whole head, its last empty line included.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(head: &[u8], limits: HeadLimits) -> Result<HeadForm, Problem> {
    let mut lines = lines(head);
    let request = check_request_line(lines.next().unwrap_or_default())?;
    let mut framing = Framing::default();
    let mut count = 0;
    for line in lines {
        count += 1;
        if count > limits.lines {
            return Err(Problem::HeadTooLarge(
                "the request has too many header lines",
            ));
        }
        let (name, value) = split_field(line)?;
        framing.field(name, value)?;
    }
    framing.check(&request)
}

/// A head that was checked, with its target as a path, the target's authority in `Host`, and a length without zeros before
/// it: servers behind need not know the other ways.
pub(crate) fn simplified(head: &[u8]) -> BytesMut {
    let mut simple = BytesMut::with_capacity(head.len() + 8);
    let mut lines = lines(head);
    let (request, authority) = simple_request_line(lines.next().unwrap_or_default());
    put_line(&mut simple, &[&request]);
    if let Some(authority) = authority {
        put_line(&mut simple, &[b"Host: ", authority]);
    }
    for line in lines {
        let (name, value) = split_field(line).unwrap_or((line, b""));
        if name.eq_ignore_ascii_case(b"content-length") {
            let zeros = value.iter().take_while(|&&digit| digit == b'0').count();
            let zeros = zeros.min(value.len().saturating_sub(1));
            put_line(&mut simple, &[name, b": ", &value[zeros..]]);
        } else if authority.is_none() || !name.eq_ignore_ascii_case(b"host") {
            put_line(&mut simple, &[line]);
        }
    }
    put_line(&mut simple, &[]);
    simple
}

fn put_line(head: &mut BytesMut, parts: &[&[u8]]) {
    parts.iter().for_each(|part| head.put_slice(part));
    head.put_slice(b"\r\n");
}

/// The line with a path for its target (RFC 9112, section 3.2.1), and the target's authority if it had one.
fn simple_request_line(line: &[u8]) -> (Vec<u8>, Option<&[u8]>) {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let mut next = || parts.next().unwrap_or_default();
    let (method, target, version) = (next(), next(), next());
    let Some((authority, rest)) = split_absolute(target) else {
        return (line.to_vec(), None);
    };
    let before: &[u8] = match rest.first() {
        Some(b'/') => b"",
        // Of the server itself, not of one of its resources (RFC 9112, section 3.2.4).
        None if method == b"OPTIONS" => b"*",
        _ => b"/",
    };
    let line = [method, b" ", before, rest, b" ", version].concat();
    (line, Some(authority))
}

/// Authority, and what follows it, of a target in absolute form (RFC 9112, section 3.2.2).
fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let after = |scheme: &[u8]| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let rest = after(b"http://").or_else(|| after(b"https://"))?;
    let end = rest.iter().position(|byte| b"/?".contains(byte));
    Some(rest.split_at(end.unwrap_or(rest.len())))
}

/// The lines of a head, without the empty one at its end.
pub(crate) fn lines(head: &[u8]) -> Lines<'_> {
    Lines(Some(head.strip_suffix(b"\r\n\r\n").unwrap_or(head)))
}

/// Lines divided by CR LF. A CR or LF on its own stays in its line, where no check lets it pass.
pub(crate) struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        match memchr::memmem::find(rest, b"\r\n") {
            Some(end) => {
                self.0 = Some(&rest[end + 2..]);
                Some(&rest[..end])
            }
            None => self.0.take(),
        }
    }
}

/// What the request line says about the rest.
struct RequestLine<'a> {
    http_1_1: bool,
    authority: Option<&'a [u8]>,
}

/// `method SP request-target SP HTTP/1.x`, nothing else between or around (RFC 9112, section 3).
fn check_request_line(line: &[u8]) -> Result<RequestLine<'_>, Problem> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Problem::Malformed(
            "the request line must be `method target version`, divided by single spaces",
        ));
    };
    if method.is_empty() || !method.iter().all(|&byte| store_server::is_token(byte)) {
        return Err(Problem::Malformed("the method is not a token"));
    }
    check_method(method)?;
    let http_1_1 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        version if version.starts_with(b"HTTP/") => {
            let refused = "this version of HTTP is not served here";
            return Err(Problem::NotServed(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                refused,
            ));
        }
        _ => {
            return Err(Problem::Malformed(
                "the request line must end with a version",
            ));
        }
    };
    let authority = check_target(method, target)?;
    Ok(RequestLine {
        http_1_1,
        authority,
    })
}

/// Checks a method.
///
/// # Errors
/// A method that would make the proxy a tunnel or a mirror.
pub(crate) fn check_method(method: &[u8]) -> Result<(), Problem> {
    if matches!(method, b"CONNECT" | b"TRACE") {
        let refused = "this method is not served";
        return Err(Problem::NotServed(StatusCode::NOT_IMPLEMENTED, refused));
    }
    Ok(())
}

/// The target's own authority, if it has one.
///
/// # Errors
/// It is no target, or one that servers can't read.
pub(crate) fn check_target<'a>(
    method: &[u8],
    target: &'a [u8],
) -> Result<Option<&'a [u8]>, Problem> {
    if target.len() > target::LONGEST {
        let refused = "the target is too long";
        return Err(Problem::NotServed(StatusCode::URI_TOO_LONG, refused));
    }
    if !target::is_readable(target) {
        let reason = "the target has characters that must be percent-encoded";
        return Err(Problem::Malformed(reason));
    }
    if target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS") {
        return Ok(None);
    }
    match split_absolute(target) {
        Some((authority, _)) if is_authority(authority) => Ok(Some(authority)),
        _ => Err(Problem::Malformed("the target must begin with `/`")),
    }
}

/// Whether this is a header line.
pub(crate) fn is_field(line: &[u8]) -> bool {
    split_field(line).is_ok()
}

/// A name and a value (RFC 9112, section 5): no space before the colon, no folding, no control characters.
pub(crate) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Problem> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(Problem::Malformed(
            "a header line must not begin with a space",
        ));
    }
    let colon =
        memchr::memchr(b':', line).ok_or(Problem::Malformed("a header line has no colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|&byte| store_server::is_token(byte)) {
        return Err(Problem::Malformed("a header name is not a token"));
    }
    if value
        .iter()
        .any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
    {
        return Err(Problem::Malformed("a header value has control characters"));
    }
    Ok((name, value.trim_ascii()))
}

/// The fields that decide where a request ends and whom it is for.
#[derive(Default)]
struct Framing<'a> {
    content_lengths: usize,
    content_length: u64,
    has_zeros_before: bool,
    transfer_encodings: usize,
    hosts: usize,
    host: &'a [u8],
}

impl<'a> Framing<'a> {
    fn field(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Problem> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                self.host = value;
            }
            6 if name.eq_ignore_ascii_case(b"expect") => check_expect(value)?,
            10 if name.eq_ignore_ascii_case(b"connection") => check_connection(value)?,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                self.content_lengths += 1;
                self.content_length = length(value)?;
                self.has_zeros_before = value.len() > 1 && value.starts_with(b"0");
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_encodings += 1;
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Problem::Malformed("Transfer-Encoding must be `chunked`"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check(&self, request: &RequestLine<'_>) -> Result<HeadForm, Problem> {
        if self.content_lengths > 1 || self.transfer_encodings > 1 {
            return Err(Problem::Malformed(
                "the body's length is given more than once",
            ));
        }
        if self.content_lengths + self.transfer_encodings > 1 {
            let reason = "Content-Length and Transfer-Encoding exclude each other";
            return Err(Problem::Malformed(reason));
        }
        if self.transfer_encodings > 0 && !request.http_1_1 {
            return Err(Problem::Malformed("HTTP/1.0 has no Transfer-Encoding"));
        }
        if self.hosts > 1 || (self.hosts == 0 && request.http_1_1) {
            return Err(Problem::Malformed("the request must have one Host"));
        }
        if self.hosts == 1 && !is_authority(self.host) {
            return Err(Problem::Malformed("Host is no host name and port"));
        }
        let of_target = request.authority.unwrap_or(self.host);
        if self.hosts == 1 && !of_target.eq_ignore_ascii_case(self.host) {
            return Err(Problem::Malformed("Host differs from the target's"));
        }
        Ok(HeadForm {
            body: match self.transfer_encodings {
                0 => Body::Length(self.content_length),
                _ => Body::Chunked,
            },
            is_simple: request.authority.is_none() && !self.has_zeros_before,
        })
    }
}

/// One plain number: no sign, no list, not even of equal ones.
pub(crate) fn length(value: &[u8]) -> Result<u64, Problem> {
    let wrong = Problem::Malformed("Content-Length must be one plain number");
    if !value.iter().all(u8::is_ascii_digit) {
        return Err(wrong);
    }
    std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or(wrong)
}

pub(crate) fn check_expect(value: &[u8]) -> Result<(), Problem> {
    if value.eq_ignore_ascii_case(b"100-continue") {
        return Ok(());
    }
    let refused = "only `Expect: 100-continue` is understood";
    Err(Problem::NotServed(StatusCode::EXPECTATION_FAILED, refused))
}

/// A connection header must not ask a proxy to remove what frames or addresses the message.
fn check_connection(value: &[u8]) -> Result<(), Problem> {
    let protected: [&[u8]; 5] = [
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"authorization",
        b"idempotency-key",
    ];
    for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        if !option.iter().all(|&byte| store_server::is_token(byte)) {
            return Err(Problem::Malformed(
                "Connection names something that is no token",
            ));
        }
        if protected
            .iter()
            .any(|name| option.eq_ignore_ascii_case(name))
        {
            return Err(Problem::Malformed("Connection must not name this header"));
        }
    }
    Ok(())
}

/// `host [":" port]`, without user information (RFC 9110, section 4.2.4).
pub(crate) fn is_authority(bytes: &[u8]) -> bool {
    let (host, port) = match bytes.strip_prefix(b"[") {
        Some(rest) => match memchr::memchr(b']', rest) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => return false,
        },
        None => bytes.split_at(memchr::memchr(b':', bytes).unwrap_or(bytes.len())),
    };
    let ip_literal = bytes.starts_with(b"[");
    let host_byte = |&byte: &u8| {
        byte.is_ascii_alphanumeric()
            || if ip_literal {
                b":.%".contains(&byte)
            } else {
                b"-._~".contains(&byte)
            }
    };
    let port_is_number = match port.strip_prefix(b":") {
        Some(digits) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        None => port.is_empty(),
    };
    !host.is_empty() && host.iter().all(host_byte) && port_is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 1024,
        lines: 10,
    };

    fn judge(head: &str) -> Result<HeadForm, Problem> {
        check(head.as_bytes(), LIMITS)
    }

    fn status(head: &str) -> u16 {
        judge(head).map_or_else(|problem| problem.status().as_u16(), |_| 200)
    }

    #[test]
    fn ordinary_heads_pass() {
        for head in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /x?y=1&z=%20 HTTP/1.1\r\nhost: a.example:8080\r\nAccept: */*\r\n\r\n",
            "POST /orders HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 12\r\n\r\n",
            "POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
            "GET http://a/x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, te\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\nX: a\tb \u{e9}\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
        ] {
            assert!(judge(head).is_ok(), "{head}");
        }
    }

    #[test]
    fn what_can_be_said_in_two_ways_passes_in_the_simpler_one() {
        for (given, expected) in [
            (
                "GET http://B.example:81/x?y HTTP/1.0\r\nA: b\r\n\r\n",
                "GET /x?y HTTP/1.0\r\nHost: B.example:81\r\nA: b\r\n\r\n",
            ),
            (
                "GET HTTP://a?y HTTP/1.1\r\nHOST: A\r\nA: b\r\n\r\n",
                "GET /?y HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n",
            ),
            (
                "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
                "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:  010\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            ),
        ] {
            let checked = judge(given).expect("may pass");
            assert!(!checked.is_simple, "{given}");
            assert_eq!(&simplified(given.as_bytes())[..], expected.as_bytes());
            assert_eq!(
                judge(expected).map(|c| (c.body, c.is_simple)),
                Ok((checked.body, true))
            );
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for head in [
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
            "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /?a=\"b\" HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http:///x HTTP/1.0\r\n\r\n",
            "GET http://u@a/ HTTP/1.0\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\n\r\n",
        ] {
            assert_eq!(status(head), 400, "{head:?}");
        }
    }

    #[test]
    fn what_is_not_served_says_so() {
        assert_eq!(status("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
        assert_eq!(status("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"), 501);
        assert_eq!(
            status("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"),
            417
        );
        let long = format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "x".repeat(target::LONGEST)
        );
        assert_eq!(status(&long), 414);
        let many = "X: y\r\n".repeat(11);
        assert_eq!(
            status(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")),
            431
        );
    }

    #[test]
    fn a_head_is_found_when_it_is_whole() {
        assert_eq!(find(b"GET / HTTP/1.1\r\nHost", LIMITS), Ok(None));
        assert_eq!(find(b"GET / H\r\n\r\nrest", LIMITS), Ok(Some(11)));
        assert!(find(&[b'a'; 1025], LIMITS).is_err());
        assert!(find(b"GET / HTTP/1.1\nHost: a\n\n", LIMITS).is_err());
    }
}
