//! The real host with the real components, over HTTP, on real MariaDB and Redis servers.
//!
//! The components must be built first: `cargo xtask test` does it.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is that test's failure"
)]

mod catalogue;
mod errors;
mod idempotency;
mod imports;
mod limits;
mod metrics;
mod orders;
mod outage;
mod refresh;
mod reports;
mod settings;
mod shutdown;
mod stock_policy;
mod support;
