//! `report_source = cached`: serves the finished body from Redis. The host's refresh task keeps it there. If a reader
//! finds it missing or overdue, as under plain Spin, the report is made once, however many readers there are.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use spin_sdk::wasip3::spawn;
use store_domain::StoreError;
use store_domain::cache::{report_key, report_lifetime};
use store_domain::freshness::{Freshness, ReportDate};
use store_domain::reports::Report;
use store_domain::settings::RefreshInterval;
use store_guest::mysql::Connection;
use store_guest::redis::Redis;
use store_guest::{trust, variables};

use crate::lease::Lease;
use crate::refresh::RefreshError;
use crate::{keys, mysql};

/// How long a reader waits for another to make the report, and how long between two lookups. A report has ten rows, so
/// it is usually there at the first lookup.
const PATIENCE: Duration = Duration::from_secs(3);
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);

/// How long a reader with an overdue report waits for the next one that it has started to make, and how long between
/// two checks.
const PATIENCE_OVER_OLD: Duration = Duration::from_secs(1);
const BETWEEN_LOOKS_AT_NEWER: Duration = Duration::from_millis(5);

/// A report's body, and how long caches may show it.
pub(crate) type FreshReport = (Vec<u8>, Freshness);

/// Reads the report, from Redis if possible and otherwise from MySQL.
///
/// # Errors
/// [`StoreError::Unavailable`] if the report is not in Redis and MySQL is down.
pub(crate) async fn read(report: Report) -> Result<FreshReport, StoreError> {
    match from_redis(report).await {
        Ok(Some(kept)) => return Ok(kept),
        Ok(None) => store_guest::log_sparsely("report not made in time, read from MySQL instead"),
        Err(RefreshError::Redis(error)) => {
            store_guest::log_sparsely(format_args!("report read from MySQL instead: {error}"));
        }
        Err(error) => return Err(error.into()),
    }
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    let body = mysql::summarise(&connection, report).await?;
    Ok((body.into_bytes(), Freshness::NONE))
}

/// Reads the report from Redis, and makes it if it is missing or overdue. `None` if it is missing and another request
/// takes too long to make it.
async fn from_redis(report: Report) -> Result<Option<FreshReport>, RefreshError> {
    let redis = Redis::shared().await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match kept(&redis, report).await? {
            Some(kept) if is_overdue(&kept) => {
                return Ok(Some(newer(report).await.unwrap_or(kept)));
            }
            Some(kept) => return Ok(Some(kept)),
            None => {}
        }
        if let Some(made) = make_once(&redis, report).await? {
            return Ok(Some(made));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        spin_sdk::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Whether the next report should have been made already.
fn is_overdue((_, freshness): &FreshReport) -> bool {
    *freshness == Freshness::NONE
}

/// Makes the next report and returns it if it is ready soon; `None` if it is not, or if another request makes it. The
/// work goes on after this function and the answer have ended, so that slow work is not wasted.
async fn newer(report: Report) -> Option<FreshReport> {
    let outcome = Rc::new(RefCell::new(None));
    let told = outcome.clone();
    spawn(async move {
        let made = async { make_once(&Redis::shared().await?, report).await };
        let made = made.await.unwrap_or_else(|error: RefreshError| {
            store_guest::log_sparsely(format_args!("an old report is shown: {error}"));
            None
        });
        told.replace(Some(made));
    });
    let deadline = Instant::now() + PATIENCE_OVER_OLD;
    loop {
        if let Some(made) = outcome.take() {
            return made;
        }
        if Instant::now() >= deadline {
            return None;
        }
        spin_sdk::time::sleep(BETWEEN_LOOKS_AT_NEWER).await;
    }
}

/// Makes the report under the lease. `None` if another request holds the lease.
async fn make_once(redis: &Redis, report: Report) -> Result<Option<FreshReport>, RefreshError> {
    let Some(lease) = Lease::take(redis).await? else {
        return Ok(None);
    };
    let made = make(redis, &lease, report).await;
    lease.release().await;
    made.map(Some)
}

/// Makes the report, unless the lease's last holder made it between the caller's lookup and its taking the lease.
async fn make(
    redis: &Redis,
    lease: &Lease<'_>,
    report: Report,
) -> Result<FreshReport, RefreshError> {
    if let Some(kept) = kept(redis, report).await?
        && !is_overdue(&kept)
    {
        return Ok(kept);
    }
    let RefreshInterval(interval) = variables::setting().await?;
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    let right_at = Instant::now();
    let body = mysql::summarise(&connection, report).await?;
    let lifetime = lifetime(interval, right_at);
    if let Err(error) = lease.put(report, &body, lifetime).await {
        store_guest::log_sparsely(format_args!(
            "report made, but not written to Redis: {error}"
        ));
        return Ok((body.into_bytes(), Freshness::NONE));
    }
    // Under plain Spin, no refresh task does the rest of a refresh's work.
    if let Err(error) = trust::beat(&connection, redis).await {
        store_guest::log_sparsely(error);
    }
    if let Err(error) = keys::forget_old(&connection, lease, Instant::now()).await {
        store_guest::log_sparsely(error);
    }
    let freshness = Freshness::of_report(lifetime, interval);
    Ok((body.into_bytes(), freshness))
}

thread_local! {
    /// The lifetime of each report as this instance's last reader found it; shared by all requests.
    static DATED: RefCell<[Option<ReportDate>; 2]> = const { RefCell::new([None, None]) };
}

/// The report in Redis, if there is one. Most readers only need to read the body, which hosts may hold in memory.
async fn kept(redis: &Redis, report: Report) -> Result<Option<FreshReport>, RefreshError> {
    let RefreshInterval(interval) = variables::setting().await?;
    if is_dated(report)
        && let Some(body) = redis.get(report_key(report)).await?
        && let Some(left) = left(report, &body)
    {
        return Ok(Some((body, Freshness::of_report(left, interval))));
    }
    let read_at = Instant::now();
    let Some((body, left)) = redis.get_with_lifetime(report_key(report)).await? else {
        return Ok(None);
    };
    let dated = ReportDate::new(&body, left, read_at);
    DATED.with_borrow_mut(|all| all[report as usize] = Some(dated));
    Ok(Some((body, Freshness::of_report(left, interval))))
}

fn is_dated(report: Report) -> bool {
    DATED.with_borrow(|all| all[report as usize].is_some())
}

/// How long a report with this body may still be shown, if an earlier reader noted its lifetime.
fn left(report: Report, body: &[u8]) -> Option<Duration> {
    let now = Instant::now();
    DATED.with_borrow(|all| all[report as usize].as_ref()?.left(body, now))
}

/// The lifetime to give a report that was correct at `right_at`.
pub(crate) fn lifetime(interval: Duration, right_at: Instant) -> Duration {
    // Redis refuses a lifetime of zero.
    let least = Duration::from_millis(1);
    report_lifetime(interval)
        .saturating_sub(right_at.elapsed())
        .max(least)
}
