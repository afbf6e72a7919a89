//! What one request is called in headers and log lines.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken over from a client or a proxy.
const MAX_LENGTH: usize = 128;

/// An id that can stand in a header and in a log line.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// Takes over the id that a proxy gave, if it can stand in a log line, or makes one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).map(HeaderValue::as_bytes);
        let usable = given.filter(|id| {
            (1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
        });
        // A copy: the value itself would keep all that was read with it.
        let copy = usable.and_then(|id| HeaderValue::from_bytes(id).ok());
        copy.map_or_else(|| Self::made(""), Self)
    }

    /// A new id that begins with `prefix`, which can stand in a header.
    pub(crate) fn made(prefix: &'static str) -> Self {
        let mut id = String::with_capacity(prefix.len() + uuid::fmt::Hyphenated::LENGTH);
        id.push_str(prefix);
        id.push_str(
            Uuid::new_v4()
                .hyphenated()
                .encode_lower(&mut Uuid::encode_buffer()),
        );
        Self(HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("-")))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// Says it in `headers`.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.0.clone());
    }
}

/// A request id as a URI for a problem's `instance`. What can't stand in a URN (RFC 8141, section 2) is encoded.
pub(crate) fn urn(request_id: &str) -> String {
    let mut urn = String::from("urn:request:");
    for byte in request_id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            urn.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            _ = write!(urn, "%{byte:02X}");
        }
    }
    urn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_a_uri_whatever_the_id() {
        assert_eq!(urn("a-1_b"), "urn:request:a-1_b");
        assert_eq!(urn("a|b"), "urn:request:a%7Cb");
        assert_eq!(urn("100%?#"), "urn:request:100%25%3F%23");
    }
}
