//! A client's connection, from its TLS handshake to the head of each of its requests, over HTTP/1 and HTTP/2.
//!
//! `entrance` accepts it, `front` counts it and reads what comes, head by head, and hands what may pass to pingora, and
//! so to `request`, but for plain requests: those go straight to `request::direct`, with `http1` or a stream of `http2` as
//! their client, and the plainest get their answers here, from `shortcut`. Refusals that pingora never hears of are counted and logged here too. Nothing here picks an
//! upstream.

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
