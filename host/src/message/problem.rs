//! The errors that the host answers itself, in the same form as those of components: RFC 9457, with `error` repeating
//! `detail`.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};
pub(crate) use store_server::problem::{MEDIA_TYPE, body};
use wasmtime_wasi_http::WasiBody;

/// Why the host, and not a component, answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The head or the body is malformed. The text says how.
    Malformed(&'static str),
    HeadTooSlow,
    /// The fields of a head of HTTP/2 are too large. Heads of HTTP/1.1 are measured before they are read.
    HeadTooLarge,
    NoRoute,
    MethodNotServed,
    UnknownExpectation,
    BodyTooLarge {
        limit_bytes: u64,
    },
    BodyTooSlow,
    /// One client has as many connections as it may.
    ClientConnections,
    /// One client has as many requests in flight as it may.
    ClientBusy,
    /// Bodies of one client that wait are as large as they may be.
    ClientBodies,
    /// Bodies of all clients that wait are as large as they may be.
    AllBodies,
    Overloaded,
    TimedOut,
    ComponentFailed,
    /// A database of the app can't be reached, or takes no writes. Only the readiness check is answered with this.
    NotReady,
}

/// The reasons under which problems are counted.
pub(crate) const REASONS: [&str; 16] = [
    "malformed",
    "no_route",
    "method_not_served",
    "unknown_expectation",
    "body_too_large",
    "body_too_slow",
    "client_busy",
    "client_bodies",
    "all_bodies",
    "overloaded",
    "timed_out",
    "component_failed",
    "head_too_slow",
    "not_ready",
    "client_connections",
    "head_too_large",
];

impl Problem {
    /// The reason under which this problem is counted: one of [`REASONS`].
    pub(crate) fn reason(self) -> &'static str {
        REASONS[match self {
            Self::Malformed(_) => 0,
            Self::NoRoute => 1,
            Self::MethodNotServed => 2,
            Self::UnknownExpectation => 3,
            Self::BodyTooLarge { .. } => 4,
            Self::BodyTooSlow => 5,
            Self::ClientBusy => 6,
            Self::ClientBodies => 7,
            Self::AllBodies => 8,
            Self::Overloaded => 9,
            Self::TimedOut => 10,
            Self::ComponentFailed => 11,
            Self::HeadTooSlow => 12,
            Self::NotReady => 13,
            Self::ClientConnections => 14,
            Self::HeadTooLarge => 15,
        }]
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MethodNotServed => StatusCode::NOT_IMPLEMENTED,
            Self::UnknownExpectation => StatusCode::EXPECTATION_FAILED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadTooSlow | Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::ClientConnections | Self::ClientBusy | Self::ClientBodies => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::AllBodies | Self::Overloaded | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::ComponentFailed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The text for the client.
    pub(crate) fn detail(self) -> String {
        match self {
            Self::Malformed(what) => what.into(),
            Self::NoRoute => "no such resource".into(),
            Self::MethodNotServed => "this method is not served".into(),
            Self::UnknownExpectation => "only `100-continue` can be expected".into(),
            Self::BodyTooLarge { limit_bytes } => {
                format!("the request body is larger than {limit_bytes} bytes")
            }
            Self::HeadTooSlow => "the request's head did not arrive in time".into(),
            Self::HeadTooLarge => "the headers are too large".into(),
            Self::BodyTooSlow => "the request body did not arrive in time".into(),
            Self::ClientConnections => {
                "too many connections of yours; close some, or try again shortly".into()
            }
            Self::ClientBusy => "too many requests of yours at once; try again shortly".into(),
            Self::ClientBodies => "too many bodies of yours at once; try again shortly".into(),
            Self::AllBodies | Self::Overloaded => {
                "too many requests at once; try again shortly".into()
            }
            Self::NotReady => "the database can't be reached, or takes no writes".into(),
            Self::TimedOut => "the request took too long".into(),
            Self::ComponentFailed => "the request could not be served".into(),
        }
    }

    /// The answer to the request with the id `request_id`.
    pub(crate) fn response(self, request_id: &str) -> Response<WasiBody> {
        let status = self.status();
        let mut response = Response::new(full(body(status, &self.detail(), request_id)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::REQUEST_TIMEOUT
        ) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A body whose bytes are all known.
pub(crate) fn full(body: impl Into<Bytes>) -> WasiBody {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}
