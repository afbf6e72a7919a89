//! The configuration in force, ready for requests: routes to groups, replaced whole by a reload, beside what outlives it.
//!
//! `live` is what every request begins with and what operators look at and change; `routes` finds the group for a host
//! and path; `checks` has all groups' health looked at in time. Nothing here reads the file or a request.

pub(crate) mod checks;
pub(crate) mod live;
mod routes;
