//! A load balancer for store hosts, built on pingora: picks a healthy upstream for each request, tries another where
//! that can't do a thing twice, and refuses what no server should see.
//!
//! Each folder is one station of a request's way. `POST /orders` comes in at `downstream`, which accepts the connection
//! and reads its head, by the rules of `message`; `clients` says whether its sender may have one more request;
//! `request` follows it through pingora's phases; `table`, the configuration in force, finds its route; `upstream`
//! picks the host that is asked, at an address that `names` may have looked up. A GET may be answered from the `cache`. `operate` changes what serves, `server`
//! starts and ends it all, and nothing that serves imports either; `tests/it/rooms.rs` holds that.

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
