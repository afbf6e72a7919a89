//! The body of an answer that reports a problem (RFC 9457). Its extension member `error` repeats `detail`, for clients
//! of the store that this one replaces.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::request_id::urn;

/// The body's media type.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The JSON of a problem with the request `request_id`.
#[must_use]
pub fn body(status: StatusCode, detail: &str, request_id: &str) -> String {
    let mut members = members(status, detail);
    members.insert("instance".into(), urn(request_id).into());
    Value::Object(members).to_string()
}

/// The members of a problem without `instance`.
#[must_use]
pub fn members(status: StatusCode, detail: &str) -> Map<String, Value> {
    let title = status.canonical_reason().unwrap_or("Error");
    let members = [
        ("type", json!("about:blank")),
        ("title", title.into()),
        ("status", status.as_u16().into()),
        ("detail", detail.into()),
        ("error", detail.into()),
    ];
    members
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
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
