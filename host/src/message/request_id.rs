//! The id of a request in headers and log lines.

use http::{HeaderMap, HeaderValue};
use store_server::request_id::{REQUEST_ID, given, new_id};

/// A request id that is valid in a header and in a log line.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The id that came with a request, if it is valid in a log line, or else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        // The id is copied, because the original value would keep the whole read buffer alive.
        let copy = given(headers).and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok());
        Self(copy.unwrap_or_else(new_id))
    }

    /// A new id that begins with `prefix`, which must be valid in a header.
    pub(crate) fn made(prefix: &'static str) -> Self {
        let id = new_id();
        let prefixed = [prefix.as_bytes(), id.as_bytes()].concat();
        Self(HeaderValue::try_from(prefixed).unwrap_or(id))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// Puts the id into `headers`.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.0.clone());
    }
}
