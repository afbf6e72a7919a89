//! The refresh: brings Redis in line with MySQL, once for all instances. Called by the host's refresh task.
//!
//! The order of its steps is what makes it safe to die after any of them:
//! - A filled Redis still needs the changes made while it was filled, so they come after.
//! - A report is made after the changes were read, so it shows all of them.
//! - The changes are forgotten last, so whoever comes after a crash sees them again.

use std::time::{Duration, Instant};

use store_domain::StoreError;
use store_domain::cache::{FILLED, LEASE_LIFETIME, REFRESHED, SEEN, report_key};
use store_domain::changes::Fingerprint;
use store_domain::reports::Report;
use store_domain::settings::RefreshInterval;
use store_guest::mysql::{Connection, MysqlError};
use store_guest::redis::{Redis, RedisError};
use store_guest::variables;

use crate::bindings::exports::store::reports::refresh::Outcome;
use crate::lease::Lease;
use crate::redis::is_filled;
use crate::{cached, changes, fill, mysql, sql};

/// Shortest time to ask again after, where Redis says that a lease is about to end.
const SOON: Duration = Duration::from_millis(100);

/// Between two tries to get a lease that another has.
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
    /// The work took longer than the lease, and another instance may be at it now.
    #[error("the lease ran out before the work was done")]
    LeaseLost,
    /// A row of `cache_changes` names something that this version does not know.
    #[error("row {0} of cache_changes names an unknown entity")]
    UnknownEntity(i64),
}

impl From<MysqlError> for RefreshError {
    fn from(error: MysqlError) -> Self {
        Self::Store(error.into())
    }
}

impl From<RefreshError> for StoreError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Store(error) => error,
            RefreshError::Redis(_) | RefreshError::LeaseLost => {
                Self::Unavailable(error.to_string())
            }
            RefreshError::UnknownEntity(_) => Self::Internal(error.to_string()),
        }
    }
}

/// Refreshes under the lease, or says when to ask again.
///
/// # Errors
/// What MySQL or Redis failed with. The next refresh starts over.
pub(crate) async fn run() -> Result<Outcome, RefreshError> {
    let started = Instant::now();
    let RefreshInterval(interval) = variables::setting().await?;
    let redis = Redis::open().await?;
    let Some(lease) = Lease::take(&redis).await? else {
        return Ok(elsewhere(Lease::left(&redis).await?));
    };
    let outcome = match Found::read(&redis).await {
        Ok(found) => refresh_if_due(&redis, &lease, interval, started, found).await,
        Err(error) => Err(error.into()),
    };
    lease.release().await;
    outcome
}

/// Makes the reports anew, whenever that was done last. Waits for the lease as long as one lasts without being renewed.
///
/// # Errors
/// What MySQL or Redis failed with.
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
    let outcome = match Found::read(&redis).await {
        Ok(found) => refresh(&redis, &lease, interval, started, found.without_reports()).await,
        Err(error) => Err(error.into()),
    };
    lease.release().await;
    outcome
}

fn elsewhere(wait: Duration) -> Outcome {
    let wait_ms = wait.max(SOON).as_millis();
    Outcome::Elsewhere(u32::try_from(wait_ms).unwrap_or(u32::MAX))
}

/// What Redis holds when the lease is taken.
struct Found {
    /// How long the last refresh is good for, if it still is.
    refreshed_for: Option<Duration>,
    both_reports: bool,
    filled: bool,
}

impl Found {
    async fn read(redis: &Redis) -> Result<Self, RedisError> {
        let [spenders, sellers] = Report::ALL.map(|report| redis.exists(report_key(report)));
        let (refreshed_for, filled, spenders, sellers) = futures::try_join!(
            redis.lifetime(REFRESHED),
            is_filled(redis),
            spenders,
            sellers
        )?;
        Ok(Self {
            refreshed_for,
            both_reports: spenders && sellers,
            filled,
        })
    }

    /// As if they were missing, so that they are made.
    fn without_reports(self) -> Self {
        Self {
            both_reports: false,
            ..self
        }
    }
}

async fn refresh_if_due(
    redis: &Redis,
    lease: &Lease<'_>,
    interval: Duration,
    started: Instant,
    found: Found,
) -> Result<Outcome, RefreshError> {
    match found.refreshed_for {
        // One that is good for longer than an interval was made when the interval was longer.
        Some(wait) if wait <= interval && found.both_reports && found.filled => Ok(elsewhere(wait)),
        _ => refresh(redis, lease, interval, started, found).await,
    }
}

async fn refresh(
    redis: &Redis,
    lease: &Lease<'_>,
    interval: Duration,
    started: Instant,
    found: Found,
) -> Result<Outcome, RefreshError> {
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    if !found.filled {
        if !found.both_reports {
            // Filling takes a while, and readers are waiting.
            make_reports(&connection, redis, interval).await?;
        }
        fill_anew(&connection, redis, lease).await?;
    }
    let right_at = Instant::now();
    let changes = apply_all(&connection, redis, lease).await?;
    let outcome = if found.both_reports && changes.is_seen(redis).await? {
        keep_reports(redis, cached::lifetime(interval, right_at)).await?;
        Outcome::Unchanged
    } else {
        make_reports(&connection, redis, interval).await?;
        Outcome::Rebuilt
    };
    lease.renew().await?;
    redis.set(SEEN, &changes.unsettled.to_string()).await?;
    changes::forget(&connection, &changes.settled).await?;
    forget_old_keys(&connection, lease).await?;
    // From one beginning to the next: the work itself takes nothing from the promise to be at most an interval behind.
    let good_for = interval.saturating_sub(started.elapsed()).max(SOON);
    redis.set_for(REFRESHED, "1", good_for).await?;
    Ok(outcome)
}

/// Deletes in steps, so that a backlog never becomes one huge transaction.
async fn forget_old_keys(connection: &Connection, lease: &Lease<'_>) -> Result<(), RefreshError> {
    loop {
        connection.execute(sql::FORGET_OLD_KEYS, vec![]).await?;
        let deleted: Option<i64> = connection
            .first::<(i64,)>(sql::ROW_COUNT, vec![])
            .await?
            .map(|(deleted,)| deleted);
        if deleted.unwrap_or_default() < sql::OLD_KEYS_AT_ONCE {
            return Ok(());
        }
        lease.renew().await?;
    }
}

async fn fill_anew(
    connection: &Connection,
    redis: &Redis,
    lease: &Lease<'_>,
) -> Result<(), RefreshError> {
    // Before, not after: should Redis restart meanwhile, the id no longer fits, and the next refresh fills again.
    let run_id = redis.run_id().await?;
    fill::fill(connection, redis, lease).await?;
    redis.set(FILLED, &run_id).await?;
    Ok(())
}

/// The changes that were applied.
#[derive(Debug, Default)]
struct Applied {
    all: Fingerprint,
    /// Those that stay in the table, to be applied again: the request that made one may still be writing to Redis.
    unsettled: Fingerprint,
    /// Those that may be forgotten.
    settled: Vec<i64>,
}

impl Applied {
    /// Whether the reports in Redis show all of these already.
    async fn is_seen(&self, redis: &Redis) -> Result<bool, RedisError> {
        let seen = redis.get(SEEN).await?;
        Ok(seen.is_some_and(|seen| seen == self.all.to_string().as_bytes()))
    }
}

async fn apply_all(
    connection: &Connection,
    redis: &Redis,
    lease: &Lease<'_>,
) -> Result<Applied, RefreshError> {
    let mut applied = Applied::default();
    let mut last = 0;
    loop {
        let page = changes::apply_page(connection, redis, last).await?;
        let Some(change) = page.last() else {
            return Ok(applied);
        };
        last = change.id;
        for change in &page {
            applied.all.add(change.id);
            if change.settled {
                applied.settled.push(change.id);
            } else {
                applied.unsettled.add(change.id);
            }
        }
        lease.renew().await?;
    }
}

async fn make_reports(
    connection: &Connection,
    redis: &Redis,
    interval: Duration,
) -> Result<(), RefreshError> {
    for report in Report::ALL {
        let right_at = Instant::now();
        let body = mysql::summarise(connection, report).await?;
        cached::put(redis, report, &body, cached::lifetime(interval, right_at)).await?;
    }
    Ok(())
}

/// Lets the reports live on as they are.
async fn keep_reports(redis: &Redis, lifetime: Duration) -> Result<(), RedisError> {
    for report in Report::ALL {
        redis.expire(report_key(report), lifetime).await?;
    }
    Ok(())
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
