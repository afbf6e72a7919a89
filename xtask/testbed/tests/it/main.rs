//! The testbed on real servers.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is that test's failure"
)]

mod hosts;
mod ownership;
mod rights;
mod seeding;
mod servers;
mod support;
mod verifying;
