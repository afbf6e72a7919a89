//! HTTP messages as bytes and fields: what a head, a target and their headers may look like, and the problems that clients
//! are told.
//!
//! Here live rules that can be tested with literals, most of them from an RFC. Nothing here holds a connection, waits,
//! or keeps anything between two requests; whoever reads or writes a message calls these.

pub(crate) mod answer_head;
pub(crate) mod forwarded;
#[cfg(test)]
mod fuzz;
pub(crate) mod head;
pub(crate) mod hop;
pub(crate) mod plain;
pub(crate) mod problem;
pub(crate) mod request_id;
pub(crate) mod target;
