//! The form of an admin listener's answers: nobody caches them, and no browser takes them for another media type.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

use crate::problem::MEDIA_TYPE;
use crate::request_id::{REQUEST_ID, new_id, urn};

/// An answer with this media type and body, which must not be cached.
#[must_use]
pub fn data(media_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    for (name, value) in [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        let value = HeaderValue::from_static(value);
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// An answer with the members of a problem (RFC 9457), and with an id by which its line in the log is found.
#[must_use]
pub fn refusal(status: StatusCode, mut members: Map<String, Value>) -> Response<Bytes> {
    let id = new_id();
    let instance = urn(id.to_str().unwrap_or("-"));
    members.insert("instance".into(), instance.into());
    let mut answer = data(MEDIA_TYPE, Value::Object(members).to_string());
    *answer.status_mut() = status;
    answer.headers_mut().insert(REQUEST_ID, id);
    answer
}

/// The id of a refusal; `None` for any other answer.
#[must_use]
pub fn refusal_id<B>(answer: &Response<B>) -> Option<&str> {
    answer.headers().get(REQUEST_ID)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::members;

    #[test]
    fn a_refusal_is_a_problem_that_nobody_keeps() {
        let status = StatusCode::CONFLICT;
        let answer = refusal(status, members(status, "busy"));
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        let body: Value = serde_json::from_slice(answer.body()).expect("JSON");
        assert_eq!(body["detail"], "busy");
        let id = refusal_id(&answer).expect("an id");
        assert_eq!(body["instance"], format!("urn:request:{id}"));
        assert_eq!(refusal_id(&data("text/plain", "ok")), None);
    }
}
