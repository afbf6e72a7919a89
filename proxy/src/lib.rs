//! A load balancer for store hosts, built on pingora: picks a healthy upstream for each request, tries another where
//! that can't do a thing twice, and refuses what no server should see.
//!
//! A request's way: `front` reads its head and `head` checks it, `proxy` follows it through pingora's phases, `group`
//! and `policy` pick the upstream, `retry` decides what happens when that one fails.

pub mod access_log;
pub mod config;
mod exchange;
mod forwarded;
pub mod front;
mod group;
mod head;
pub mod health;
pub mod live;
pub mod metrics;
mod policy;
mod problem;
mod proxy;
mod rate;
mod request_id;
mod retry;
mod routes;
mod upstream;
