//! The testbed on real servers, and what of the repository no single crate can check.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is that test's failure"
)]

mod crates;
mod features;
mod hosts;
mod ownership;
mod rights;
mod seeding;
mod servers;
mod support;
mod verifying;
