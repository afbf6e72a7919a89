//! A load balancer for store hosts, built on pingora. It picks a healthy upstream for each request, tries another one
//! if that can't do a thing twice, and refuses requests that no server should see.
//!
//! Each folder is one station of a request's way. `POST /orders` comes in at `downstream`, which accepts the connection
//! and reads its head by the rules of `message`. `clients` decides whether the client may have one more request, and
//! `request` takes it through pingora's phases. `table`, the configuration in force, finds its route, and `upstream`
//! picks the host that is asked, at an address that `names` may have looked up. A GET may be answered from the `cache`.
//! `operate` changes what serves, and `server` starts and ends everything. Code that serves imports neither of these
//! two: `tests/it/rooms.rs` checks that.

mod answers;
mod cache;
mod clients;
pub mod config;
mod downstream;
mod message;
mod metrics;
mod names;
pub mod operate;
mod request;
pub mod server;
mod table;
mod upstream;
