//! What one request is called in headers and log lines.

use http::{HeaderMap, HeaderValue};
use store_server::request_id::{REQUEST_ID, given};
use uuid::Uuid;

/// An id that can stand in a header and in a log line.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// Takes over the id that a proxy gave, if it can stand in a log line, or makes one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        // A copy: the value itself would keep all that was read with it.
        let copy = given(headers).and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok());
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
