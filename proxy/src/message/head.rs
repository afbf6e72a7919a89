//! Strict checks of a request's head, before pingora's lenient ones. A head that two servers could read differently is
//! how requests are smuggled (RFC 9112, section 11.2), so it is refused here rather than repaired.

mod framing;
#[cfg(test)]
mod tests;

use bytes::{BufMut, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode};

pub(crate) use framing::{Body, HeadForm, check_expect, is_authority};
use framing::{Framing, RequestLine};
use store_server::field::{BARE_LINE_END, has_bare_line_end};
pub(crate) use store_server::field::{content_length, split as split_field};

use super::problem::Problem;
use super::target;

/// Limits of a head.
#[derive(Clone, Copy)]
pub(crate) struct HeadLimits {
    pub(crate) bytes: usize,
    pub(crate) lines: usize,
}

/// The length in bytes of the head at the beginning of `bytes`; `None` if the head is not complete.
///
/// # Errors
/// The head is larger than the limit, or can never end.
pub(crate) fn find(bytes: &[u8], limits: HeadLimits) -> Result<Option<usize>, Problem> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4);
    if end.unwrap_or(bytes.len()) > limits.bytes {
        return Err(Problem::HeadTooLarge("the request's head is too large"));
    }
    if end.is_none() && has_bare_line_end(bytes, 0) {
        // Such a head is malformed, so it makes no sense to wait for its end.
        return Err(Problem::Malformed(BARE_LINE_END));
    }
    Ok(end)
}

/// Checks a complete head, including the empty line at its end.
///
/// # Errors
/// The first rule that the head breaks.
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
        let (name, value) = split_field(line).map_err(Problem::Malformed)?;
        framing.field(name, value)?;
    }
    framing.check(&request)
}

/// A checked head in the simplest form: a path as its target, the target's authority in `Host`, and a length without
/// leading zeros. The servers behind need not know the other forms.
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

/// Writes a header line.
pub(crate) fn put_field(head: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    put_line(head, &[name.as_str().as_bytes(), b": ", value.as_bytes()]);
}

/// Writes a line that consists of these parts.
pub(crate) fn put_line(head: &mut BytesMut, parts: &[&[u8]]) {
    parts.iter().for_each(|part| head.put_slice(part));
    head.put_slice(b"\r\n");
}

/// The request line with a path as its target (RFC 9112, section 3.2.1), and the authority that the target had.
fn simple_request_line(line: &[u8]) -> (Vec<u8>, Option<&[u8]>) {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let mut next = || parts.next().unwrap_or_default();
    let (method, target, version) = (next(), next(), next());
    let Some((authority, rest)) = split_absolute(target) else {
        return (line.to_vec(), None);
    };
    let before: &[u8] = match rest.first() {
        Some(b'/') => b"",
        // Such a request is for the server itself, not for one of its resources (RFC 9112, section 3.2.4).
        None if method == b"OPTIONS" => b"*",
        _ => b"/",
    };
    let line = [method, b" ", before, rest, b" ", version].concat();
    (line, Some(authority))
}

/// Splits a target in absolute form (RFC 9112, section 3.2.2) into its authority and the rest.
fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let after = |scheme: &[u8]| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let rest = after(b"http://").or_else(|| after(b"https://"))?;
    let end = rest.iter().position(|byte| b"/?".contains(byte));
    Some(rest.split_at(end.unwrap_or(rest.len())))
}

/// The lines of a head, without the empty line at its end.
pub(crate) fn lines(head: &[u8]) -> Lines<'_> {
    Lines(Some(head.strip_suffix(b"\r\n\r\n").unwrap_or(head)))
}

/// Lines that end with CR LF. A CR or LF on its own stays in its line, where the checks refuse it.
pub(crate) struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let mut ends = memchr::memchr_iter(b'\r', rest);
        match ends.find(|&end| rest.get(end + 1) == Some(&b'\n')) {
            Some(end) => {
                self.0 = Some(&rest[end + 2..]);
                Some(&rest[..end])
            }
            None => self.0.take(),
        }
    }
}

/// Checks for `method SP request-target SP HTTP/1.x` and nothing else (RFC 9112, section 3).
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
/// The method would make the proxy a tunnel or a mirror.
pub(crate) fn check_method(method: &[u8]) -> Result<(), Problem> {
    if matches!(method, b"CONNECT" | b"TRACE") {
        let refused = "this method is not served";
        return Err(Problem::NotServed(StatusCode::NOT_IMPLEMENTED, refused));
    }
    Ok(())
}

/// Checks a target, and returns its authority, if it has one.
///
/// # Errors
/// The target is malformed, or one that servers can't read.
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

/// Name and value of a header line that was checked.
pub(crate) fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = memchr::memchr(b':', line).unwrap_or(line.len());
    let value = line.get(colon + 1..).unwrap_or_default();
    (&line[..colon], value.trim_ascii())
}
