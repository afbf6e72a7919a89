//! Audits a store: compares everything in it that must be equal.

mod cache;
mod database;
mod findings;
mod reports;

use std::time::Duration;

use anyhow::{Context, Result};
use mysql_async::{Conn, TxOpts};
use tokio::time::{Instant, sleep};

pub use self::findings::{Audit, Check};

use crate::addresses::Addresses;
use crate::progress::Progress;
use crate::redis_keys::StoreKeys;

/// The wait between two audits of a store that is expected to become consistent.
const SETTLE_INTERVAL: Duration = Duration::from_secs(1);

/// Compares orders with their items, report totals with orders, and Redis with MySQL.
///
/// MySQL is read from one snapshot and Redis afterwards, so a store under load may show differences for the time of a
/// request.
///
/// # Errors
/// When a server is down or has no tables, or Redis holds the store's keys under another prefix or on another node.
pub async fn audit(addresses: &Addresses, progress: Progress) -> Result<Audit> {
    let mut conn = addresses.mysql().await?;
    let mut keys = StoreKeys::open(addresses).await?;
    keys.check_prefix().await?;
    let mut audit = Audit::default();
    let mut snapshot = snapshot(&mut conn).await?;
    database::audit_totals(&mut snapshot, &mut audit, progress).await?;
    cache::audit_orders(&mut snapshot, &mut keys, &mut audit, progress).await?;
    cache::audit_stocks(&mut snapshot, &mut keys, &mut audit, progress).await?;
    reports::audit_reports(&mut snapshot, &mut keys, &mut audit, progress).await?;
    snapshot.rollback().await.context("ending the snapshot")?;
    conn.disconnect().await.context("disconnecting")?;
    Ok(audit)
}

/// Repeats the audit until nothing differs or `settle` has passed, and returns the last audit.
///
/// # Errors
/// When a server is down or has no tables, or Redis holds the store's keys under another prefix or on another node.
pub async fn audit_until_clean(
    addresses: &Addresses,
    settle: Duration,
    progress: Progress,
) -> Result<Audit> {
    let deadline = Instant::now() + settle;
    let mut audit = audit(addresses, progress).await?;
    if audit.is_clean() || settle.is_zero() {
        return Ok(audit);
    }
    let step = progress.step("settle", 0);
    while !audit.is_clean() && Instant::now() < deadline {
        sleep(SETTLE_INTERVAL).await;
        audit = self::audit(addresses, Progress::Silent).await?;
    }
    step.finish();
    Ok(audit)
}

async fn snapshot(conn: &mut Conn) -> Result<mysql_async::Transaction<'_>> {
    let mut options = TxOpts::default();
    options.with_consistent_snapshot(true).with_readonly(true);
    conn.start_transaction(options)
        .await
        .context("starting a snapshot")
}
