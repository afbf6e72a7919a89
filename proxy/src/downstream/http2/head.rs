//! Checks the head of an HTTP/2 request as strictly as one of HTTP/1.1, and checks what only HTTP/2 can say. Fields
//! that break the protocol itself, such as names in capitals, never come here: `h2` has reset their stream (RFC 9113,
//! section 8.2.1).

use bytes::{BufMut, BytesMut};
use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri};
use pingora_error::Result as PingoraResult;
use pingora_http::RequestHeader;

use crate::message::head::{self, HeadLimits};
use crate::message::problem::Problem;

/// Bytes that a field counts for in addition to its name and value (RFC 9113, section 6.5.2).
const FIELD_BYTES: usize = 32;

/// Checks a head that came over HTTP/2 by the rules for heads of HTTP/1.
///
/// # Errors
/// The first rule that the head breaks.
pub(super) fn check(request: &Parts, limits: HeadLimits) -> Result<(), Problem> {
    check_size(request, limits)?;
    let method = request.method.as_str().as_bytes();
    head::check_method(method)?;
    let target = request.uri.path_and_query().map(|target| target.as_str());
    head::check_target(method, target.unwrap_or_default().as_bytes())?;
    check_authority(request)?;
    for (name, value) in &request.headers {
        let value = value.as_bytes();
        if value.trim_ascii() != value {
            let reason = "a header value begins or ends with a space";
            return Err(Problem::Malformed(reason));
        }
        if *name == EXPECT {
            head::check_expect(value)?;
        }
    }
    check_length(&request.headers)
}

fn check_size(request: &Parts, limits: HeadLimits) -> Result<(), Problem> {
    if request.headers.len() > limits.lines {
        let reason = "the request has too many header lines";
        return Err(Problem::HeadTooLarge(reason));
    }
    let fields = request.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
    let target = request.uri.path_and_query().map_or(0, |t| t.as_str().len());
    let authority = request.uri.authority().map_or(0, |a| a.as_str().len());
    let bytes = fields.sum::<usize>() + request.method.as_str().len() + target + authority;
    if bytes > limits.bytes {
        return Err(Problem::HeadTooLarge("the request's head is too large"));
    }
    Ok(())
}

/// The request must name one host, in `:authority`, in `Host`, or the same in both (RFC 9113, section 8.3.1).
fn check_authority(request: &Parts) -> Result<(), Problem> {
    let mut hosts = request
        .headers
        .get_all(HOST)
        .iter()
        .map(HeaderValue::as_bytes);
    let (host, another) = (hosts.next(), hosts.next());
    let authority = request
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let Some(named) = authority.or(host).filter(|_| another.is_none()) else {
        return Err(Problem::Malformed("the request must have one Host"));
    };
    if ![authority, host]
        .into_iter()
        .flatten()
        .all(head::is_authority)
    {
        return Err(Problem::Malformed("Host is no host name and port"));
    }
    if host.is_some_and(|host| !host.eq_ignore_ascii_case(named)) {
        return Err(Problem::Malformed("Host differs from the target's"));
    }
    Ok(())
}

fn check_length(headers: &HeaderMap) -> Result<(), Problem> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let (length, another) = (lengths.next(), lengths.next());
    if another.is_some() {
        let reason = "the body's length is given more than once";
        return Err(Problem::Malformed(reason));
    }
    let Some(length) = length else { return Ok(()) };
    let read = head::content_length(length.as_bytes());
    read.map(drop).map_err(Problem::Malformed)
}

/// Turns a checked head into the form of HTTP/1.1: a path as its target, the authority in `Host`, one line of cookies
/// (RFC 9113, section 8.2.3), a length without leading zeros.
pub(super) fn simplified(mut request: Parts) -> PingoraResult<RequestHeader> {
    let uri = std::mem::take(&mut request.uri);
    let target = uri.path_and_query().cloned();
    request.uri = target.map(Uri::from).unwrap_or_default();
    let mut head = RequestHeader::from(request);
    if let Some(authority) = uri.authority() {
        head.insert_header(HOST, authority.as_str())?;
    }
    if let Some(cookies) = joined_cookies(&head.headers) {
        head.insert_header(COOKIE, cookies)?;
    }
    let length = head.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| head::content_length(length.as_bytes()).ok());
    if let Some(length) = length {
        head.insert_header(CONTENT_LENGTH, length)?;
    }
    Ok(head)
}

/// Writes the head in the form of HTTP/1.1.
pub(super) fn raw(request: &RequestHeader) -> BytesMut {
    let mut head = BytesMut::with_capacity(256);
    let mut put = |parts: [&[u8]; 4]| parts.into_iter().for_each(|part| head.put_slice(part));
    let method = request.method.as_str().as_bytes();
    put([method, b" ", request.raw_path(), b" HTTP/1.1\r\n"]);
    for (name, value) in &request.headers {
        put([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    head.put_slice(b"\r\n");
    head
}

/// All cookies in one value; `None` if there are fewer than two `Cookie` lines.
fn joined_cookies(headers: &HeaderMap) -> Option<Vec<u8>> {
    let cookies = headers.get_all(COOKIE);
    cookies.iter().nth(1)?;
    let cookies: Vec<&[u8]> = cookies.iter().map(HeaderValue::as_bytes).collect();
    Some(cookies.join(b"; ".as_slice()))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 1024,
        lines: 5,
    };

    fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn status(method: &str, uri: &str, fields: &[(&str, &str)]) -> u16 {
        let verdict = check(&parts(method, uri, fields), LIMITS);
        verdict.map_or_else(|problem| problem.status().as_u16(), |()| 200)
    }

    #[test]
    fn what_http_1_refuses_is_refused() {
        let a = "http://a/";
        assert_eq!(status("GET", a, &[]), 200);
        assert_eq!(status("GET", "/", &[("host", "a:80")]), 200);
        assert_eq!(
            status("GET", a, &[("host", "A"), ("expect", "100-Continue")]),
            200
        );
        assert_eq!(status("OPTIONS", "*", &[("host", "a")]), 200);
        for (method, uri, fields) in [
            ("GET", "/", &[][..]),
            ("GET", "/", &[("host", "a\", for=6.6.6.6;host=\"b")]),
            ("GET", "/", &[("host", "a"), ("host", "a")]),
            ("GET", "/", &[("host", "u@a")]),
            ("GET", "http://u@a/", &[]),
            ("GET", a, &[("host", "b")]),
            ("GET", "*", &[("host", "a")]),
            ("GET", "/?a=%22b`|c", &[]),
            (
                "POST",
                a,
                &[("content-length", "1"), ("content-length", "1")],
            ),
            ("POST", a, &[("content-length", "+1")]),
            ("GET", a, &[("x-a", " b")]),
            ("GET", a, &[("x-a", "b\t")]),
        ] {
            assert_eq!(
                status(method, uri, fields),
                400,
                "{method} {uri} {fields:?}"
            );
        }
        assert_eq!(status("GET", a, &[("expect", "x")]), 417);
        assert_eq!(status("TRACE", a, &[]), 501);
        assert_eq!(status("CONNECT", "a:80", &[]), 501);
        assert_eq!(status("GET", a, &[("x-a", &"b".repeat(1000))]), 431);
        assert_eq!(status("GET", a, &[("x-a", "b"); 6]), 431);
    }

    #[test]
    fn a_head_becomes_one_of_http_1() {
        let fields = [
            ("cookie", "a=b"),
            ("cookie", "c=d"),
            ("content-length", "010"),
        ];
        let head =
            simplified(parts("POST", "http://Shop.example:81/x?y", &fields)).expect("a head");
        assert_eq!(head.uri, "/x?y");
        assert_eq!(head.raw_path(), b"/x?y");
        assert_eq!(head.headers["host"], "Shop.example:81");
        assert_eq!(head.headers["cookie"], "a=b; c=d");
        assert_eq!(head.headers["content-length"], "10");
    }
}
