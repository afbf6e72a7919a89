//! A load balancer for store hosts, built on pingora: picks a healthy upstream for each request, tries another where
//! that can't do a thing twice, and refuses what no server should see.
//!
//! A request's way: `front` reads its head and `head` checks it (`http2` both for HTTP/2), `proxy` follows it through pingora's phases, `group`
//! and `policy` pick the upstream, `retry` decides what happens when that one fails. `cache` may have the
//! answer already; the plainest requests get it from `shortcut`, before pingora.

pub mod access_log;
mod admin;
mod admin_entrance;
mod admission;
mod answer;
mod arrival;
mod cache;
mod chunks;
pub mod cli;
pub mod clients;
pub mod config;
pub mod control;
mod encoding;
mod entrance;
mod exchange;
mod farewell;
mod forwarded;
pub mod front;
#[cfg(test)]
mod fuzz;
mod group;
mod hash_key;
mod head;
pub mod health;
mod hop;
mod http2;
pub mod live;
pub mod logging;
pub mod metrics;
mod pid_file;
mod policy;
mod problem;
mod proxy;
mod rate;
mod read_head;
mod refusal;
mod reload;
mod request_id;
mod retry;
mod routes;
pub mod server;
mod shortcut;
mod signals;
mod sockets;
mod target;
pub mod tls;
pub mod token;
pub mod upgrade;
mod upstream;
mod wire;
