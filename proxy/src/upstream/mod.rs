//! The hosts behind the proxy: groups of upstreams, the policies that pick one, and each upstream's load and health.
//!
//! A `group` gives a permit for one of its upstreams. `standing` is what is known about an upstream over time, from
//! requests and from the checks of `health`; `budget` limits retries. Nothing here knows a request, only a key to pick
//! by, and nothing reads the configuration by itself.

mod budget;
mod connections;
mod endpoint;
mod group;
mod health;
mod member;
mod peer;
mod policy;
mod standing;

pub(crate) use connections::Connection;
pub(crate) use endpoint::Endpoint;
pub(crate) use group::{Group, PermitError, Tries};
pub(crate) use health::check;
pub(crate) use member::{Permit, Upstream};
pub(crate) use standing::{Standing, State};
