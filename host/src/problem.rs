//! Errors that the host answers itself, in the same form as the components': RFC 9457, with `error` repeating `detail`.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use wasmtime_wasi_http::WasiBody;

/// Why the host, not a component, answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    NoRoute,
    BodyTooLarge { limit_bytes: u64 },
    Overloaded,
    TimedOut,
    ComponentFailed,
}

impl Problem {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::ComponentFailed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn detail(self) -> String {
        match self {
            Self::NoRoute => "no such resource".into(),
            Self::BodyTooLarge { limit_bytes } => {
                format!("the request body is larger than {limit_bytes} bytes")
            }
            Self::Overloaded => "too many requests at once; try again shortly".into(),
            Self::TimedOut => "the request took too long".into(),
            Self::ComponentFailed => "the request could not be served".into(),
        }
    }

    /// The answer to the request `request_id`.
    pub(crate) fn response(self, request_id: &str) -> Response<WasiBody> {
        let status = self.status();
        let detail = self.detail();
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
            "instance": format!("urn:request:{request_id}"),
            "error": detail,
        });
        let mut response = Response::new(full(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A body that is known as a whole.
pub(crate) fn full(body: impl Into<Bytes>) -> WasiBody {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}
