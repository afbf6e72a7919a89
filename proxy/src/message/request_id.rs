//! The id of a request: the one it came with, or a new one.

use http::{HeaderMap, HeaderValue};
pub(crate) use store_server::request_id::{REQUEST_ID, given, new_id};

/// Takes over the id that came with the request, if it can stand in a log line, or makes one.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    given(headers).cloned().unwrap_or_else(new_id)
}
