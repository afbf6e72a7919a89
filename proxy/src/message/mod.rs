//! HTTP messages as bytes and fields: rules for heads, targets and headers, and the problems that clients are answered
//! with.
//!
//! Rules that can be tested with literals live here, most of them from an RFC. Nothing here holds a connection, waits,
//! or keeps anything between two requests; code that reads or writes messages calls these rules.

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
