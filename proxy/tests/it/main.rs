//! The real proxy before upstreams that misbehave as told, and before real store hosts.
//!
//! The tests with store hosts need `store-host` and the components: `cargo xtask test` builds them first.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is that test's failure"
)]

mod access_log;
mod admin;
mod admission;
mod bodiless;
mod cache;
mod cache_changes;
mod cache_opened;
mod circles;
mod console;
mod console_hosts;
mod corpus;
mod direct;
mod distribution;
mod drain;
mod ejection;
mod exemplars;
mod faults;
mod forwarded;
mod fresh;
mod groups;
mod health;
mod http2;
mod http2_takers;
mod limits;
mod manual;
mod metrics;
mod names;
mod no_upgrade;
mod passing;
mod queue;
mod refused;
mod reload;
mod retries;
mod rooms;
mod service;
mod shop;
mod slow_clients;
mod stale;
mod start;
mod support;
mod tls;
mod trace_context;
mod trace_logs;
mod trace_receiver;
mod traces;
mod upgrade;
mod upstream_tls;
