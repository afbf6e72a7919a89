//! The configuration in force, ready for requests: routes to groups, replaced whole by a reload, beside what outlives it.
//!
//! `live` is what every request begins with and what operators look at and change; `build` makes it of a configuration;
//! `routes` finds the group for a host and path; `checks` has all groups' health looked at in time, and `lookups` all
//! names. Nothing here reads the file or a request.

mod build;
pub(crate) mod checks;
pub(crate) mod live;
pub(crate) mod lookups;
mod routes;
