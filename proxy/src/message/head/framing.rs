//! The fields of a request's head that decide where it ends and whom it is for, and the rules for each.

use http::StatusCode;
use store_server::field::content_length;

use crate::message::problem::Problem;

/// How a request's body ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// The body has this many bytes; zero if there is no body.
    Length(u64),
    /// The body ends with its last chunk.
    Chunked,
}

/// The form of a head that passed the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadForm {
    pub(crate) body: Body,
    /// Whether the head is in the simplest form; if not, it goes on as [`simplified`](super::simplified).
    pub(crate) is_simple: bool,
}

/// The facts in the request line that other checks need.
pub(super) struct RequestLine<'a> {
    pub(super) http_1_1: bool,
    pub(super) authority: Option<&'a [u8]>,
}

/// The fields that decide where a request ends and whom it is for.
#[derive(Default)]
pub(super) struct Framing<'a> {
    content_lengths: usize,
    content_length: u64,
    has_zeros_before: bool,
    transfer_encodings: usize,
    hosts: usize,
    host: &'a [u8],
}

impl<'a> Framing<'a> {
    pub(super) fn field(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Problem> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                self.host = value;
            }
            6 if name.eq_ignore_ascii_case(b"expect") => check_expect(value)?,
            10 if name.eq_ignore_ascii_case(b"connection") => check_connection(value)?,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                self.content_lengths += 1;
                self.content_length = content_length(value).map_err(Problem::Malformed)?;
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

    pub(super) fn check(&self, request: &RequestLine<'_>) -> Result<HeadForm, Problem> {
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

pub(crate) fn check_expect(value: &[u8]) -> Result<(), Problem> {
    if value.eq_ignore_ascii_case(b"100-continue") {
        return Ok(());
    }
    let refused = "only `Expect: 100-continue` is understood";
    Err(Problem::NotServed(StatusCode::EXPECTATION_FAILED, refused))
}

/// Refuses a `Connection` header that asks a proxy to remove fields that frame or address the message.
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

/// Whether the bytes are `host [":" port]`, without user information (RFC 9110, section 4.2.4).
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
