//! The refresh, which the host's refresh task calls: makes the reports once for all instances.
//!
//! Orders and stock need no refresh: what Redis holds of them is either correct or not shown.

use std::time::{Duration, Instant};

use store_domain::StoreError;
use store_domain::cache::{LEASE_LIFETIME, REFRESHED, report_key};
use store_domain::reports::Report;
use store_domain::settings::RefreshInterval;
use store_guest::mysql::{Connection, MysqlError};
use store_guest::redis::{Redis, RedisError};
use store_guest::trust::{self, TrustError};
use store_guest::variables;

use crate::bindings::exports::store::reports::refresh::Outcome;
use crate::lease::{Lease, PutOutcome};
use crate::{cached, keys, mysql};

/// The shortest wait before the host asks again, for a lease that is about to end.
const SOON: Duration = Duration::from_millis(100);

/// The wait between two attempts to take a lease that another holds.
const BETWEEN_TRIES: Duration = Duration::from_millis(25);

/// Why a refresh ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefreshError {
    /// Redis failed.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// MySQL failed, or a variable is wrong.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work took longer than the lease, so another instance may be doing it now.
    #[error("the lease ran out before the work was done")]
    LeaseLost,
}

impl From<MysqlError> for RefreshError {
    fn from(error: MysqlError) -> Self {
        Self::Store(error.into())
    }
}

impl From<TrustError> for RefreshError {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::Redis(error) => error.into(),
            TrustError::Mysql(error) => error.into(),
            TrustError::Store(error) => error.into(),
        }
    }
}

impl From<RefreshError> for StoreError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Store(error) => error,
            RefreshError::Redis(_) | RefreshError::LeaseLost => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

/// Refreshes under the lease. If a refresh is not due, or another instance does it, returns when to ask again.
///
/// # Errors
/// The error of MySQL or Redis. The next refresh starts from the beginning.
pub(crate) async fn run() -> Result<Outcome, RefreshError> {
    let outcome = refresh_if_due().await;
    if let Err(RefreshError::Redis(_)) = &outcome {
        // Deleting old keys needs only MySQL. It needs no lease either: doing it twice does no harm.
        keys::forget_some_old().await?;
    }
    outcome
}

async fn refresh_if_due() -> Result<Outcome, RefreshError> {
    let started = Instant::now();
    let RefreshInterval(interval) = variables::setting().await?;
    let redis = Redis::open().await?;
    let Some(lease) = Lease::take(&redis).await? else {
        return Ok(elsewhere(Lease::left(&redis).await?));
    };
    let outcome = match refreshed_for(&redis).await {
        // A wait longer than the interval is left from a time when the interval was longer.
        Ok(Some(wait)) if wait <= interval => Ok(elsewhere(wait)),
        Ok(_) => refresh(&redis, &lease, interval, started).await,
        Err(error) => Err(error.into()),
    };
    lease.release().await;
    outcome
}

/// How long the last refresh is still valid; `None` if it is not, or if a report is missing.
async fn refreshed_for(redis: &Redis) -> Result<Option<Duration>, RedisError> {
    let [spenders, sellers] = Report::ALL.map(|report| redis.exists(report_key(report)));
    let (left, spenders, sellers) =
        futures::try_join!(redis.lifetime(REFRESHED), spenders, sellers)?;
    Ok(left.filter(|_| spenders && sellers))
}

/// Makes the reports anew, even if they are fresh. Waits for another holder's lease, at most one lease lifetime.
///
/// # Errors
/// The error of MySQL or Redis.
pub(crate) async fn run_now() -> Result<Outcome, RefreshError> {
    let started = Instant::now();
    let RefreshInterval(interval) = variables::setting().await?;
    let redis = Redis::open().await?;
    let lease = loop {
        if let Some(lease) = Lease::take(&redis).await? {
            break lease;
        }
        if started.elapsed() > LEASE_LIFETIME {
            return Ok(elsewhere(Lease::left(&redis).await?));
        }
        spin_sdk::time::sleep(BETWEEN_TRIES).await;
    };
    let outcome = refresh(&redis, &lease, interval, started).await;
    lease.release().await;
    outcome
}

fn elsewhere(wait: Duration) -> Outcome {
    let wait_ms = wait.max(SOON).as_millis();
    Outcome::Elsewhere(u32::try_from(wait_ms).unwrap_or(u32::MAX))
}

async fn refresh(
    redis: &Redis,
    lease: &Lease<'_>,
    interval: Duration,
    started: Instant,
) -> Result<Outcome, RefreshError> {
    let outcome = make_reports(lease, interval).await?;
    let is_trusted = trust::renew(redis).await?.is_some();
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    if is_trusted {
        trust::beat(&connection, redis).await?;
    }
    keys::forget_old(&connection, lease, started + interval / 2).await?;
    // The next refresh is due one interval after this one began: so the time that the work takes does not make reports
    // older than an interval.
    let good_for = interval.saturating_sub(started.elapsed()).max(SOON);
    redis.set_for(REFRESHED, "1", good_for).await?;
    Ok(outcome)
}

async fn make_reports(lease: &Lease<'_>, interval: Duration) -> Result<Outcome, RefreshError> {
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    let mut outcome = Outcome::Unchanged;
    for report in Report::ALL {
        if make(&connection, lease, report, interval).await? == PutOutcome::Replaced {
            outcome = Outcome::Rebuilt;
        }
    }
    Ok(outcome)
}

/// Makes one report: it has ten rows, however many orders there are.
async fn make(
    connection: &Connection,
    lease: &Lease<'_>,
    report: Report,
    interval: Duration,
) -> Result<PutOutcome, RefreshError> {
    let right_at = Instant::now();
    let body = mysql::summarise(connection, report).await?;
    let lifetime = cached::lifetime(interval, right_at);
    lease.put(report, &body, lifetime).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_ask_again_at_once() {
        for (wait, ms) in [
            (Duration::ZERO, 100),
            (Duration::from_secs(60), 60_000),
            (Duration::MAX, u32::MAX),
        ] {
            match elsewhere(wait) {
                Outcome::Elsewhere(wait_ms) => assert_eq!(wait_ms, ms),
                other => panic!("{other:?}"),
            }
        }
    }
}
