//! The configuration in force, ready for requests: routes to groups. A reload replaces the table as a whole; state such
//! as standings and caches outlives it.
//!
//! `live` holds the table that every request begins with, and lets operators look at upstreams and drain them. `build`
//! makes the table from a configuration. `routes` finds the group for a host and path. `checks` runs the health checks
//! of all groups, and `lookups` looks names up again in time. Nothing here reads the file or a request.

mod build;
pub(crate) mod checks;
pub(crate) mod live;
pub(crate) mod lookups;
mod routes;

pub(crate) use build::Table;
