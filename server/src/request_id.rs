//! The id that a request carries through proxy, host and logs.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries the id in requests and answers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over from a client or a proxy, in bytes.
const LONGEST: usize = 128;

/// The id that came with a request, if it is short and plain enough for a log line.
#[must_use]
pub fn given(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers
        .get(REQUEST_ID)
        .filter(|id| stands_in_a_log(id.as_bytes()))
}

fn stands_in_a_log(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= LONGEST && id.iter().all(u8::is_ascii_graphic)
}

/// A new id: a random UUID.
#[must_use]
pub fn new_id() -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    Uuid::new_v4().hyphenated().encode_lower(&mut text);
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// The id as a URN. Characters that are not allowed in a URN are percent-encoded (RFC 8141, section 2).
#[must_use]
pub fn urn(request_id: &str) -> String {
    let mut urn = String::with_capacity(12 + request_id.len());
    urn.push_str("urn:request:");
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
    fn a_given_id_is_taken_only_if_it_can_stand_in_a_log() {
        let mut headers = HeaderMap::new();
        assert_eq!(given(&headers), None);
        headers.insert(REQUEST_ID, HeaderValue::from_static("abc-1"));
        assert_eq!(given(&headers), Some(&HeaderValue::from_static("abc-1")));
        for bad in ["two words", "", &"x".repeat(129)] {
            headers.insert(REQUEST_ID, HeaderValue::from_str(bad).expect("a value"));
            assert_eq!(given(&headers), None, "{bad}");
        }
    }

    #[test]
    fn no_two_new_ids_are_the_same() {
        assert_eq!(new_id().len(), 36);
        assert_ne!(new_id(), new_id());
    }

    #[test]
    fn an_id_becomes_a_urn() {
        assert_eq!(urn("abc-1_b:x/y"), "urn:request:abc-1_b:x/y");
        assert_eq!(urn("a|b%\"?#"), "urn:request:a%7Cb%25%22%3F%23");
    }
}
