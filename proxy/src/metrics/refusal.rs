//! The reasons for which requests and connections are refused, and their counters.

use prometheus::{IntCounter, Result};

use super::Declare;

/// Why a request or a connection is refused. The metric and the access log use the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A request that is malformed, that two servers could understand differently, or that is of a kind that is not
    /// served.
    Malformed,
    /// A head that exceeds a limit.
    HeadersTooLarge,
    /// A body that exceeds its limit.
    BodyTooLarge,
    /// A client that took too long to send.
    Timeout,
    /// A client that exceeds its request rate.
    Rate,
    /// There is no route for the host and path.
    NoRoute,
    /// A connection that exceeds the limit for all clients.
    Connections,
    /// A connection that exceeds the limit for its client.
    ClientConnections,
    /// A request that exceeds the limit for its client.
    ClientRequests,
    /// HTTP/2 whose frames or fields break the protocol.
    Http2,
    /// A TLS handshake that began and failed: it was no TLS, there was no common version or cipher, or the client did
    /// not accept the certificate.
    TlsHandshake,
    /// A connection that exceeds the limit of the admin listener.
    AdminConnections,
    /// A request to the admin listener that is answered with a problem.
    AdminRequest,
}

impl Reason {
    pub(super) const ALL: [Self; 13] = [
        Self::Malformed,
        Self::HeadersTooLarge,
        Self::BodyTooLarge,
        Self::Timeout,
        Self::Rate,
        Self::NoRoute,
        Self::Connections,
        Self::ClientConnections,
        Self::ClientRequests,
        Self::Http2,
        Self::TlsHandshake,
        Self::AdminConnections,
        Self::AdminRequest,
    ];

    /// The value of the label `reason`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::HeadersTooLarge => "headers_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::Timeout => "timeout",
            Self::Rate => "rate",
            Self::NoRoute => "no_route",
            Self::Connections => "connections",
            Self::ClientConnections => "client_connections",
            Self::ClientRequests => "client_requests",
            Self::Http2 => "http2",
            Self::TlsHandshake => "tls_handshake",
            Self::AdminConnections => "admin_connections",
            Self::AdminRequest => "admin_request",
        }
    }
}

/// Declares a counter for each reason, in order. All series exist from the start, so that the first refusal shows as a
/// rise.
pub(super) fn declare(declare: &Declare<'_>) -> Result<[IntCounter; Reason::ALL.len()]> {
    let refused = declare.counters(
        "store_proxy_refused_total",
        "Requests and connections turned away by the proxy, by reason",
        &["reason"],
    )?;
    Ok(Reason::ALL.map(|reason| refused.with_label_values(&[reason.label()])))
}
