//! Answers of the proxy itself, in the form of RFC 9457 with one extension member, `error`, like the store's own
//! problems.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use store_server::problem;

use crate::metrics::{Metrics, Reason};

/// Why the proxy answers instead of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The request is malformed, or servers could understand it differently.
    Malformed(&'static str),
    /// The head exceeds a limit.
    HeadTooLarge(&'static str),
    /// The method or protocol version is not served.
    NotServed(StatusCode, &'static str),
    /// The body exceeds its limit.
    BodyTooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The client took too long to send the request.
    TooSlow,
    /// The client asks too often.
    TooOften {
        /// When to come back.
        retry_after: Duration,
    },
    /// There is no route for this host and path.
    NoRoute,
    /// There are more connections than the proxy accepts.
    TooManyConnections,
    /// The client has more connections than it may.
    ClientConnections,
    /// The client has more requests in flight than it may.
    ClientRequests,
    /// No upstream is up.
    NoUpstream {
        /// When an upstream may be back.
        retry_after: Duration,
    },
    /// All upstreams are busy, and their queues are full.
    Overloaded,
    /// The upstream failed; it is unknown whether it carried the request out.
    UpstreamBroke,
    /// No connection to an upstream could be made, so the request was not carried out.
    UpstreamUnreachable,
    /// The upstream or the proxy did not accept the other's certificate, so the request was not carried out.
    UpstreamUntrusted,
    /// The upstream took too long.
    UpstreamTimedOut,
    /// A bug in the proxy.
    Internal,
}

impl Problem {
    /// The answer's status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::HeadTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NotServed(status, _) => *status,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooOften { .. } | Self::ClientConnections | Self::ClientRequests => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::TooManyConnections
            | Self::NoUpstream { .. }
            | Self::Overloaded
            | Self::UpstreamUnreachable => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamBroke | Self::UpstreamUntrusted => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The explanation for the client.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Malformed(reason) | Self::HeadTooLarge(reason) | Self::NotServed(_, reason) => {
                (*reason).to_owned()
            }
            Self::BodyTooLarge { limit_bytes } => {
                format!("the body is larger than {limit_bytes} bytes")
            }
            Self::TooSlow => "the request took too long to arrive".into(),
            Self::TooOften { .. } => "too many requests from this address; slow down".into(),
            Self::NoRoute => "nothing is served here".into(),
            Self::TooManyConnections => "too many open connections; try again later".into(),
            Self::ClientConnections => {
                "too many connections from this address; close some, or try again later".into()
            }
            Self::ClientRequests => {
                "too many requests of this address at once; try again later".into()
            }
            Self::NoUpstream { .. } => "no server is available; try again later".into(),
            Self::Overloaded => "all servers are busy; try again later".into(),
            Self::UpstreamBroke => {
                "the server broke off; a request that is not idempotent may have been carried out"
                    .into()
            }
            Self::UpstreamUnreachable => {
                "no server can be reached; nothing was done, try again later".into()
            }
            Self::UpstreamUntrusted => {
                "a TLS certificate was not accepted between proxy and server; nothing was done"
                    .into()
            }
            Self::UpstreamTimedOut => {
                "the server did not answer in time; the request may have been carried out".into()
            }
            Self::Internal => "the proxy failed".into(),
        }
    }

    /// Whole seconds for `Retry-After` (RFC 9110, section 10.2.3).
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::TooOften { retry_after } | Self::NoUpstream { retry_after } => {
                Some(retry_after.as_secs_f64().ceil().max(1.0) as u64)
            }
            Self::TooManyConnections
            | Self::ClientConnections
            | Self::ClientRequests
            | Self::Overloaded
            | Self::UpstreamUnreachable => Some(1),
            _ => None,
        }
    }

    /// The reason in metric and log, if the client caused the problem.
    pub(crate) fn reason(&self) -> Option<Reason> {
        Some(match self {
            Self::Malformed(_) | Self::NotServed(..) => Reason::Malformed,
            Self::HeadTooLarge(_) => Reason::HeadersTooLarge,
            Self::BodyTooLarge { .. } => Reason::BodyTooLarge,
            Self::TooSlow => Reason::Timeout,
            Self::TooOften { .. } => Reason::Rate,
            Self::NoRoute => Reason::NoRoute,
            Self::TooManyConnections => Reason::Connections,
            Self::ClientConnections => Reason::ClientConnections,
            Self::ClientRequests => Reason::ClientRequests,
            Self::NoUpstream { .. }
            | Self::Overloaded
            | Self::UpstreamBroke
            | Self::UpstreamUnreachable
            | Self::UpstreamTimedOut
            | Self::UpstreamUntrusted
            | Self::Internal => return None,
        })
    }

    /// Counts the problem, if the client caused it.
    pub(crate) fn count(&self, metrics: &Metrics) {
        if let Some(reason) = self.reason() {
            metrics.refuse(reason);
        }
    }

    /// The body: `application/problem+json`.
    pub(crate) fn body(&self, request_id: &str) -> Bytes {
        problem::body(self.status(), &self.detail(), request_id).into()
    }

    /// The whole answer as bytes, and the length of its body, for a connection that pingora has not seen and that is
    /// closed after the answer. `line` is added to the head.
    pub(crate) fn raw(
        &self,
        request_id: &str,
        line: Option<&(HeaderName, HeaderValue)>,
    ) -> (Vec<u8>, usize) {
        let status = self.status();
        let body = self.body(request_id);
        let mut answer = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Request-Id: {request_id}\r\nConnection: close\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or("Error"),
            problem::MEDIA_TYPE,
            body.len(),
        );
        if let Some(seconds) = self.retry_after_seconds() {
            answer.push_str(&format!("Retry-After: {seconds}\r\n"));
        }
        let mut answer = answer.into_bytes();
        if let Some((name, value)) = line {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                answer.extend_from_slice(part);
            }
        }
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(&body);
        (answer, body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_answer_is_a_whole_message() {
        let problem = Problem::NoUpstream {
            retry_after: Duration::from_millis(1200),
        };
        let text = String::from_utf8(problem.raw("id-1", None).0).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a blank line");
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(head.contains("Retry-After: 2"));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["error"], body["detail"]);
        assert_eq!(body["instance"], "urn:request:id-1");
    }
}
