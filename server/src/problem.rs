//! The body of an answer that says what went wrong: RFC 9457, with one extension member, `error`, which repeats `detail`
//! for clients of the store this one replaces.

use http::StatusCode;

use crate::request_id::urn;

/// The body's media type.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The JSON of a problem.
#[must_use]
pub fn body(status: StatusCode, detail: &str, request_id: &str) -> String {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
        "instance": urn(request_id),
        "error": detail,
    });
    body.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_and_of_which_request() {
        let text = body(StatusCode::NOT_FOUND, "no such resource", "id-1");
        let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(body["title"], "Not Found");
        assert_eq!(body["status"], 404);
        assert_eq!(body["detail"], body["error"]);
        assert_eq!(body["instance"], "urn:request:id-1");
    }
}
