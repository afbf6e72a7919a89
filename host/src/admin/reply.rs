//! Answers of the admin listener: JSON, and problems in the form of RFC 9457 in which `error` repeats `detail`.

use bytes::Bytes;
use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use store_server::{admin_answer, problem};

use crate::control::{ControlError, SwapStep};

pub(super) type Reply = Response<Full<Bytes>>;

pub(super) fn text(media_type: &'static str, body: String) -> Reply {
    admin_answer::data(media_type, body).map(Full::new)
}

pub(super) fn json(body: &impl Serialize) -> Reply {
    match serde_json::to_string(body) {
        Ok(body) => text("application/json", body + "\n"),
        Err(error) => Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).reply(),
    }
}

/// The answer to a change request, successful or not.
pub(super) fn outcome(outcome: Result<impl Serialize, ControlError>) -> Reply {
    match outcome {
        Ok(body) => json(&body),
        Err(error) => Rejection::from(error).reply(),
    }
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Rejection {
    status: StatusCode,
    detail: String,
    step: Option<SwapStep>,
    /// For a refused change: the reason in one word.
    cause: Option<&'static str>,
    header: Option<(HeaderName, &'static str)>,
}

impl Rejection {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            step: None,
            cause: None,
            header: None,
        }
    }

    pub(super) fn method_not_allowed(allowed: &'static str) -> Self {
        Self {
            header: Some((ALLOW, allowed)),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("this path answers {allowed} only"),
            )
        }
    }

    pub(super) fn unauthorized(detail: String) -> Self {
        Self {
            header: Some((WWW_AUTHENTICATE, "Bearer")),
            ..Self::new(StatusCode::UNAUTHORIZED, detail)
        }
    }

    pub(super) fn reply(self) -> Reply {
        let mut members = problem::members(self.status, &self.detail);
        if let Some(step) = self.step {
            members.insert("step".into(), step.label().into());
        }
        if let Some(cause) = self.cause {
            members.insert("cause".into(), cause.into());
        }
        let mut response = admin_answer::refusal(self.status, members).map(Full::new);
        if let Some((name, value)) = self.header {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl From<ControlError> for Rejection {
    fn from(error: ControlError) -> Self {
        Self {
            step: error.step(),
            cause: Some(error.label()),
            ..Self::new(error.status(), error.to_string())
        }
    }
}
