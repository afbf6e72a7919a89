//! The id of a request: the one that came with it, or a new one.

use http::{HeaderMap, HeaderValue};
pub(crate) use store_server::request_id::{REQUEST_ID, given, new_id};

/// The id that came with the request, if it is fit for a log line, or else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    given(headers).cloned().unwrap_or_else(new_id)
}
