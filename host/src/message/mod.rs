//! Rules about HTTP messages: the form of a head, the id of a request, and the problems that clients are told.
//!
//! The rules can be tested with literals, and most of them come from an RFC. Nothing here holds a connection, waits, or
//! keeps anything between two requests.

pub(crate) mod head;
pub(crate) mod problem;
mod request_id;

pub(crate) use problem::Problem;
pub(crate) use request_id::RequestId;
