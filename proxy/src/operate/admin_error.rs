//! Why the admin listener refuses a request, and the form of its answers.

use std::time::Duration;

use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use store_server::{admin_answer, problem};

use crate::config::ConfigError;
use crate::table::live::NoSuchUpstream;

pub(super) type Answer = Response<Vec<u8>>;

/// Why a request is refused or failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    #[error(
        "the paths are /console, /metrics, /healthz, /status, /traces, /history, /events and /fleet to GET, /reload, /drain, /undrain and /cache/purge to POST"
    )]
    NotFound,
    #[error("use {0}")]
    Method(&'static str),
    #[error("this listener is not known by that name; `server.admin_names` sets its names")]
    WrongHost,
    #[error("send the token in `server.admin_token_file` as `Authorization: Bearer TOKEN`")]
    NoToken,
    #[error("the admin token is wrong")]
    WrongToken,
    #[error("web pages of other origins may not make changes")]
    FromBrowser,
    #[error("a new process takes over; ask again")]
    HandingOver,
    #[error("this path of another member can't be reached through the console")]
    NotPassedOn,
    #[error("a component of more than {0} bytes is not passed on; send it to the host itself")]
    TooLarge(usize),
    #[error("the body was not received within {0:?}")]
    TooSlow(Duration),
    #[error("the body broke off: {0}")]
    BrokeOff(String),
    #[error("write it as ?upstream=127.0.0.1:5000")]
    NoUpstreamNamed,
    #[error("timeout: {0}")]
    Timeout(String),
    #[error(transparent)]
    NoSuchUpstream(#[from] NoSuchUpstream),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("`{0}` gets no more requests, but still has some in flight after the time given")]
    NotIdle(String),
    #[error("{0}")]
    Internal(String),
}

impl AdminError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::NotPassedOn | Self::NoSuchUpstream(_) => StatusCode::NOT_FOUND,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::FromBrowser => StatusCode::FORBIDDEN,
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::HandingOver => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoUpstreamNamed | Self::Timeout(_) | Self::BrokeOff(_) => StatusCode::BAD_REQUEST,
            Self::Config(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotIdle(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The problem (RFC 9457) as an answer, with its status and the headers that belong to that status.
    pub(super) fn answer(&self) -> Answer {
        let status = self.status();
        let members = problem::members(status, &self.to_string());
        let mut answer: Answer = admin_answer::refusal(status, members).map(Into::into);
        match self {
            Self::Method(allow) => {
                answer
                    .headers_mut()
                    .insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::NoToken | Self::WrongToken => {
                let scheme = HeaderValue::from_static("Bearer");
                answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            }
            Self::HandingOver => {
                answer
                    .headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from(1));
            }
            _ => {}
        }
        answer
    }
}

/// An answer with `value` as JSON.
///
/// # Errors
/// JSON can't express `value`.
pub(super) fn json(value: &impl Serialize) -> Result<Answer, AdminError> {
    let body = serde_json::to_string(value).map_err(|e| AdminError::Internal(e.to_string()))?;
    Ok(text("application/json", body))
}

/// An answer with text.
pub(super) fn text(media_type: &'static str, body: String) -> Answer {
    admin_answer::data(media_type, body).map(Into::into)
}
