//! The configuration in force, ready for requests: routes to groups, replaced whole by a reload, beside what outlives it.
//!
//! `live` holds the table that every request begins with, and lets operators look at upstreams and drain them; `build` makes
//! it of a configuration; `routes` finds the group for a host and path; `checks` runs all groups' health checks, and
//! `lookups` looks names up again in time. Nothing here reads the file or a request.

mod build;
pub(crate) mod checks;
pub(crate) mod live;
pub(crate) mod lookups;
mod routes;
