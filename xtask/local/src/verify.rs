//! `cargo xtask verify`: audits a store, comparing everything that must be equal.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use testbed::{Progress, verify};

use crate::store_urls::StoreArgs;

/// Audit a store: orders against their items, report totals against the orders, Redis against MySQL
///
/// Exits with 1 and a list if anything differs. A store at work differs for a moment after each order. Its reports,
/// and what a crash left behind in Redis, are right again after the next refresh: `--settle` waits for that.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Repeat the audit until nothing differs, for at most this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    settle: u64,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let addresses = options.store.addresses()?;
    let settle = Duration::from_secs(options.settle);
    let audit = verify::audit_until_clean(&addresses, settle, Progress::detect()).await;
    let audit = audit.context(options.store.subject())?;
    println!("{audit}");
    if audit.is_clean() {
        return Ok(ExitCode::SUCCESS);
    }
    if settle.is_zero() {
        eprintln!(
            "Reports may lag behind orders until the next refresh: `--settle 70` waits for it."
        );
    }
    Ok(ExitCode::FAILURE)
}
