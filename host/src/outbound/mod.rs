//! Where components may connect to: the addresses of databases and caches, and the list that allows them.
//!
//! A `backend` is an address that was taken apart once, with the TLS that it asks for (`address_tls`), an `allowed_host` one
//! entry of `allowed_outbound_hosts`. `tls` has what the settings say of servers of one kind, and a `verifier` looks at
//! their certificates. `by_address` holds what is open to a few addresses at once. `attributes` is what traces say of a
//! backend. Nothing here connects; `mysql` and `redis` do.

mod address_tls;
mod allowed_host;
mod attributes;
mod backend;
mod by_address;
mod tls;
mod verifier;

pub(crate) use allowed_host::AllowedHost;
pub(crate) use attributes::Attributes;
pub(crate) use backend::{Backend, Kind};
pub(crate) use by_address::{ByAddress, TOO_MANY};
pub(crate) use tls::{Tls, tls_error};
