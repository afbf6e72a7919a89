//! The real host with the real components, over HTTP, on real MariaDB and Redis servers.
//!
//! The components must be built first: `cargo xtask test` does it.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is that test's failure"
)]

mod backends;
mod canary;
mod catalogue;
mod circles;
mod clients;
mod console;
mod console_passing;
mod contract;
mod database_errors;
mod errors;
mod exemplars;
mod fleet;
mod fleet_end;
mod freshness;
mod galera;
mod graphql;
mod group_faults;
mod group_orders;
mod group_replication;
mod group_rounds;
mod group_waits;
mod http2;
mod idempotency;
mod idle;
mod imports;
mod input;
mod isolation;
mod limits;
mod manual;
mod member_faults;
mod members;
mod members_of_a_name;
mod memory;
mod metrics;
mod migrations;
mod mirror;
mod mysql_relay;
mod near;
mod operator;
mod operators;
mod orders;
mod other_host;
mod outage;
mod outcomes;
mod overview;
mod paused;
mod paused_refresh;
mod redis_cluster;
mod redis_cluster_audit;
mod redis_commands;
mod redis_scripts;
mod redis_tls;
mod refresh;
mod relay;
mod reload;
mod reports;
mod restart;
mod rollout;
mod rooms;
mod schema;
mod sentinel;
mod service;
mod sessions;
mod settings;
mod shutdown;
mod sick_cache;
mod stock_policy;
mod support;
mod swap;
mod tls;
mod trace_changes;
mod trace_context;
mod trace_logs;
mod trace_statements;
mod traces;
mod trust;
mod turns;
mod watch;
