//! The program `lab` itself, and what it starts, on real servers.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is that test's failure"
)]

mod attack;
mod browser;
mod cluster;
mod dashboard;
mod fake_store;
mod lab;
mod load;
mod observed;
mod rules;
mod send;
mod sql;
mod support;
