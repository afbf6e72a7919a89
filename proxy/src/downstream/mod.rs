//! A client's connection, from its TLS handshake to the head of each of its requests, over HTTP/1 and HTTP/2.
//!
//! `entrance` accepts it. `front` counts it and reads what comes, head by head. Most requests it hands to pingora, and
//! so to `request`. Plain ones go straight to `request::direct`, with `http1` or a stream of `http2` as their client,
//! and the plainest get their answers here, from `shortcut`. Requests that are refused before pingora hears of them are
//! counted and logged here too (`refusals`). Nothing here picks an upstream.

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
