//! What both servers, `store-host` and `store-proxy`, say and understand in the same way.
//!
//! Here lives what a client or an operator would notice if the two differed: the id of a request, the body of a problem,
//! whose word on a client's address counts, what an admin token is, how a duration is written, what a log line looks
//! like. Nothing here knows wasmtime, pingora, a connection or a configuration.

pub mod duration;
mod elements;
pub mod forwarded;
pub mod logging;
pub mod problem;
pub mod request_id;
pub mod token;

/// Whether a byte may stand in a token, such as a field's name (RFC 9110, section 5.6.2).
#[must_use]
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
