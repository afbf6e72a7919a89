//! Which version of HTTP a client begins with.

use pingora_timeout::timeout;

use super::read_head::LAST_REQUEST;
use super::wire::Wire;

/// How a client without TLS begins HTTP/2 (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The versions that a client may begin with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    Http1,
    Http2,
    Both,
}

/// Whether a refused client expects the refusal over HTTP/2.
pub(super) async fn speaks_http2(wire: &mut Wire, versions: Versions) -> bool {
    match versions {
        Versions::Http1 => false,
        Versions::Http2 => true,
        Versions::Both => matches!(timeout(LAST_REQUEST, begins_http2(wire)).await, Ok(true)),
    }
}

/// Reads until the client's first bytes are the preface of HTTP/2, or can't become it.
pub(super) async fn begins_http2(wire: &mut Wire) -> bool {
    while wire.held().len() < HTTP2_PREFACE.len() {
        if !HTTP2_PREFACE.starts_with(wire.held()) || !matches!(wire.read_more().await, Ok(1..)) {
            return false;
        }
    }
    wire.held().starts_with(HTTP2_PREFACE)
}
