//! Where components may connect to: the addresses of databases and caches, and the list that allows them.
//!
//! A `backend` is an address that was taken apart once, an `allowed_host` one entry of `allowed_outbound_hosts`. Nothing
//! here connects; `mysql` and `redis` do. `attributes` is what traces say of it.

mod allowed_host;
mod attributes;
mod backend;

pub(crate) use allowed_host::AllowedHost;
pub(crate) use attributes::Attributes;
pub(crate) use backend::{Backend, Kind};
