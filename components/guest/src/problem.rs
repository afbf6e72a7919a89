//! Turns errors into responses: `application/problem+json`, RFC 9457. No other module does.

use serde::Serialize;
use spin_sdk::http::StatusCode;
use store_domain::StoreError;

use crate::Reply;

/// What a client may read about a failure on the store's side. The log has the cause, under the request id in
/// `instance`.
const UNAVAILABLE: &str = "the store is overloaded or a dependency is down; try again";
const OUTCOME_UNKNOWN: &str = "the connection to the database was lost at the last step: the request may have been carried \
     out or not; look before you repeat it, or repeat it with the Idempotency-Key that it had";
const INTERNAL: &str = "something went wrong on our side";

/// Why a request is answered with an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The store refused the request or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The path exists, but only for the methods in `allow`.
    #[error("this path allows {allow}")]
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
    /// The body is longer than the limit.
    #[error("the body must be at most {limit} bytes")]
    BodyTooLarge {
        /// The longest accepted body, in bytes.
        limit: usize,
    },
    /// The `Content-Type` is missing or is not JSON.
    #[error("Content-Type must be application/json")]
    UnsupportedMediaType,
    /// The body is compressed, or has another content coding.
    #[error("Content-Encoding must be identity: bodies are read as they are")]
    UnsupportedCoding,
}

impl Problem {
    /// The answer to a path that no route matches.
    pub fn no_route() -> Self {
        Self::Store(StoreError::NotFound("there is nothing at this path".into()))
    }

    /// The HTTP status. There is no `_` arm, so that a new error does not compile without a status.
    fn status(&self) -> StatusCode {
        match self {
            Self::Store(StoreError::Malformed(_)) => StatusCode::BAD_REQUEST,
            Self::Store(StoreError::NotFound(_)) => StatusCode::NOT_FOUND,
            Self::Store(StoreError::Conflict(_)) => StatusCode::CONFLICT,
            Self::Store(StoreError::Unacceptable(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Store(StoreError::Unavailable(_) | StoreError::Unfinished(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Store(StoreError::OutcomeUnknown(_)) => StatusCode::GATEWAY_TIMEOUT,
            Self::Store(StoreError::Internal(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType | Self::UnsupportedCoding => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
        }
    }

    /// The response. `instance` names the request, if the request has an id. Logs the cause of a 5xx.
    pub(crate) fn into_reply(self, instance: Option<String>) -> Reply {
        let detail = match &self {
            Self::Store(StoreError::Unavailable(cause)) => {
                crate::log(format_args!("unavailable: {cause}"));
                UNAVAILABLE.to_owned()
            }
            Self::Store(StoreError::OutcomeUnknown(cause)) => {
                crate::log(format_args!("outcome unknown: {cause}"));
                OUTCOME_UNKNOWN.to_owned()
            }
            Self::Store(StoreError::Internal(cause)) => {
                crate::log(format_args!("internal error: {cause}"));
                INTERNAL.to_owned()
            }
            told => told.to_string(),
        };
        let status = self.status();
        let reply = Reply::json(status, &Body::new(status, &detail, instance))
            .with_header("content-type", "application/problem+json")
            .with_header("cache-control", "no-store");
        match self {
            Self::MethodNotAllowed { allow } => reply.with_header("allow", allow),
            // RFC 9110, section 12.5.3.
            Self::UnsupportedCoding => reply.with_header("accept-encoding", "identity"),
            Self::Store(StoreError::Unavailable(_) | StoreError::Unfinished(_)) => {
                reply.with_header("retry-after", "1")
            }
            _ => reply,
        }
    }
}

/// The body of a problem. `error` repeats `detail` for clients of the older API, which read `error`.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    error: &'a str,
}

impl<'a> Body<'a> {
    fn new(status: StatusCode, detail: &'a str, instance: Option<String>) -> Self {
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail,
            instance,
            error: detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(problem: Problem, instance: Option<&str>) -> serde_json::Value {
        let reply = problem.into_reply(instance.map(str::to_owned));
        assert_eq!(
            reply.header("content-type"),
            Some(&b"application/problem+json"[..])
        );
        serde_json::from_slice(reply.full_body().expect("a problem has a body"))
            .expect("a problem is JSON")
    }

    #[test]
    fn a_problem_tells_the_client_what_to_change() {
        let problem = Problem::from(StoreError::Unacceptable("items must not be empty".into()));
        assert_eq!(
            body(problem, Some("urn:request:42")),
            serde_json::json!({
                "type": "about:blank",
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "items must not be empty",
                "instance": "urn:request:42",
                "error": "items must not be empty",
            })
        );
    }

    #[test]
    fn the_cause_of_a_5xx_stays_inside() {
        for error in [
            StoreError::Unavailable("secret".into()),
            StoreError::OutcomeUnknown("secret".into()),
            StoreError::Internal("secret".into()),
        ] {
            let body = body(Problem::from(error), None);
            assert!(!body.to_string().contains("secret"), "{body}");
            assert_eq!(body.get("instance"), None);
        }
    }

    #[test]
    fn what_may_be_retried_and_what_is_allowed_is_said_in_headers() {
        let unavailable = Problem::from(StoreError::Unavailable("down".into())).into_reply(None);
        assert_eq!(unavailable.header("retry-after"), Some(&b"1"[..]));
        let open = Problem::from(StoreError::OutcomeUnknown("lost".into())).into_reply(None);
        assert_eq!(open.header("retry-after"), None);
        let coding = Problem::UnsupportedCoding.into_reply(None);
        assert_eq!(coding.header("accept-encoding"), Some(&b"identity"[..]));
        let method = Problem::MethodNotAllowed { allow: "GET, HEAD" }.into_reply(None);
        assert_eq!(method.header("allow"), Some(&b"GET, HEAD"[..]));
    }
}
