//! A client's connection, from its TLS handshake to the head of each of its requests, over HTTP/1 and HTTP/2.
//!
//! `entrance` accepts a connection. `front` counts it and reads its requests, head by head. `front` hands most requests
//! to pingora, which calls `request`. Plain requests go straight to `request::direct`, with `http1` or a stream of
//! `http2` as their client, and `shortcut` answers the plainest ones here. Requests that are refused before pingora
//! sees them are counted and logged here too (`refusals`). Nothing here picks an upstream.

pub(crate) mod entrance;
mod farewell;
pub(crate) mod front;
mod http1;
mod http2;
pub(crate) mod read_head;
mod refusals;
mod shortcut;
pub(crate) mod tls;
mod versions;
pub(crate) mod wire;
