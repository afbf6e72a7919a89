//! HTTP messages as fields: what a head may look like, what a request is called, and the problems that clients are told.
//!
//! Here live rules that can be tested with literals, most of them from an RFC. Nothing here holds a connection, waits, or
//! keeps anything between two requests.

pub(crate) mod head;
pub(crate) mod problem;
mod request_id;

pub(crate) use problem::Problem;
pub(crate) use request_id::RequestId;
