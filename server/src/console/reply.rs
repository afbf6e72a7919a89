//! The answers of the console, with headers that make them harmless if a browser takes them for a page.

use bytes::Bytes;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::{admin_answer, problem};

/// The policy of all answers that are no page: even if a browser takes one for a page, it runs no script, loads nothing
/// and stands in no frame.
pub(super) const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// An answer of the console.
pub type Reply = Response<Bytes>;

/// An answer with data as JSON, which must not be cached.
pub(super) fn data(body: &impl Serialize) -> Reply {
    match serde_json::to_vec(body) {
        Ok(body) => answer("application/json", body.into()),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// An answer with a problem (RFC 9457).
#[must_use]
pub fn refusal(status: StatusCode, detail: &str) -> Reply {
    guarded(admin_answer::refusal(
        status,
        problem::members(status, detail),
    ))
}

pub(super) fn answer(media_type: &'static str, body: Bytes) -> Reply {
    guarded(admin_answer::data(media_type, body))
}

/// Adds headers that make an answer harmless if a browser takes it for a page.
fn guarded(mut answer: Reply) -> Reply {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, NOTHING),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        let value = HeaderValue::from_static(value);
        answer.headers_mut().insert(name, value);
    }
    answer
}
