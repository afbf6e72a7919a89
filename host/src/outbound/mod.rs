//! The addresses that components may connect to: parsed addresses of databases and caches, and the list that allows
//! them.
//!
//! A `backend` is a parsed address with its TLS settings (`address_tls`), an `allowed_host` one entry of
//! `allowed_outbound_hosts`. `tls` has the TLS settings for all servers of one kind, and a `verifier` checks their
//! certificates. `by_address` holds what a component has open, for a few addresses at once. A `description` is what
//! spans say of a backend. `largest_piece` limits what a backend may send at once, and `log_throttle` the log lines about
//! its trouble. Nothing here connects; `mysql` and `redis` do.

mod address_tls;
mod allowed_host;
mod backend;
mod by_address;
mod description;
mod largest_piece;
mod log_throttle;
mod tls;
mod verifier;

pub(crate) use allowed_host::AllowedHost;
pub(crate) use backend::{Backend, Kind};
pub(crate) use by_address::{ByAddress, TOO_MANY};
pub(crate) use largest_piece::largest_piece;
pub(crate) use log_throttle::LogThrottle;
pub(crate) use tls::{Tls, is_about_time, stands, tls_error};
