//! The hosts behind the proxy: groups of them, which one is picked by what policy, what each is busy with, and whether
//! it is well.
//!
//! A `group` leases a slot at one of its members; `standing` is what is known about a member over time, from requests
//! and from the checks of `health`; `budget` bounds retries. Nothing here knows a request, only a key to pick by, and
//! nothing reads the configuration by itself.

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
pub(crate) use group::{Group, LeaseError, Tries};
pub(crate) use health::check;
pub(crate) use member::{Lease, Upstream};
pub(crate) use standing::{Standing, State};
