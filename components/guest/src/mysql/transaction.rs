//! Runs a transaction, and retries it as a whole if it collides with another.

use std::time::Duration;

use spin_sdk::wasip3::random::random::get_random_u64;
use store_domain::StoreError;

use super::{Connection, MysqlError, TransactionFate, fate, ids};
use crate::{Problem, trust};

/// How often a transaction is tried before the client is told to try again later.
pub const ATTEMPTS: u32 = 5;

/// Begins every transaction. MySQL refuses to prepare `START TRANSACTION`.
pub const BEGIN: &str = "SET autocommit = 0";

/// Commits: MySQL and MariaDB commit an open transaction when autocommit is switched on. This also leaves the session
/// as it was found, and takes one round trip instead of two. (MySQL 8.4 reference manual, section 15.3.1.)
pub const COMMIT: &str = "SET autocommit = 1";

/// Why a transaction did not happen, or may not have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Abort {
    /// The store refuses the request. Everything was rolled back.
    #[error(transparent)]
    Rejected(#[from] StoreError),
    /// The database failed, in every attempt if the error was worth a retry.
    #[error(transparent)]
    Database(#[from] MysqlError),
    /// The changes could not be marked in Redis, in this epoch of the cache. Everything was rolled back.
    #[error("can't mark changes in Redis in epoch {0} of the cache")]
    NotMarked(i64),
}

impl From<Abort> for StoreError {
    fn from(abort: Abort) -> Self {
        match abort {
            Abort::Rejected(error) => error,
            Abort::Database(error) => error.into(),
            Abort::NotMarked(_) => Self::Unavailable(abort.to_string()),
        }
    }
}

impl From<Abort> for Problem {
    fn from(abort: Abort) -> Self {
        Self::Store(abort.into())
    }
}

/// Does `work` in one transaction. If the transaction collides with another or loses its connection, all of `work` is
/// done again on a new connection; so `work` must do nothing that can't be rolled back. If the connection is lost
/// during the commit, `fate` gets what `work` returned, and finds out on another connection whether the commit
/// happened.
///
/// # Errors
/// The refusal of `work`, or the database's error in the last attempt. [`MysqlError::CommitUnknown`] if it can't be
/// found out whether the commit happened.
pub async fn transaction<T>(
    url: &str,
    work: impl AsyncFn(&Connection) -> Result<T, Abort>,
    fate: impl AsyncFn(&Connection, &T) -> Result<TransactionFate, MysqlError>,
) -> Result<T, Abort> {
    let work = async |connection: &Connection| work(connection).await.map(Ending::Commit);
    transaction_of(url, |_| ATTEMPTS, work, fate).await
}

/// How a transaction is to end, with its result.
pub enum Ending<T> {
    /// The transaction commits.
    Commit(T),
    /// There is nothing to commit, so the transaction is rolled back.
    RollBack(T),
}

/// As [`transaction`], but `work` says whether to commit or to roll back, and `attempts` says how often an error may be
/// tried.
///
/// # Errors
/// Those of [`transaction`].
pub async fn transaction_of<T>(
    url: &str,
    attempts: impl Fn(&Abort) -> u32,
    work: impl AsyncFn(&Connection) -> Result<Ending<T>, Abort>,
    fate: impl AsyncFn(&Connection, &T) -> Result<TransactionFate, MysqlError>,
) -> Result<T, Abort> {
    let mut attempt = 0;
    loop {
        let abort = match attempt_once(url, &work, &fate).await {
            Err(abort) if attempt + 1 < attempts(&abort) => abort,
            outcome => return outcome,
        };
        match abort {
            Abort::Database(error) if error.is_retryable() => {
                spin_sdk::time::sleep(retry_delay(attempt, get_random_u64())).await;
            }
            Abort::NotMarked(epoch) => trust::settle(url, epoch, attempt == 0).await?,
            abort => return Err(abort),
        }
        attempt += 1;
    }
}

/// Whether the row `id` exists, by a `statement` that takes no lock. Callers use it before they lock the row.
///
/// # Errors
/// If the row can't be looked up.
pub async fn exists(url: &str, statement: &str, id: i64) -> Result<bool, MysqlError> {
    let connection = Connection::open(url).await?;
    let found = connection.first::<(i64,)>(statement, ids([id])).await?;
    Ok(found.is_some())
}

/// Tries the transaction once. Every early return drops the connection, which rolls back.
async fn attempt_once<T>(
    url: &str,
    work: &impl AsyncFn(&Connection) -> Result<Ending<T>, Abort>,
    fate: &impl AsyncFn(&Connection, &T) -> Result<TransactionFate, MysqlError>,
) -> Result<T, Abort> {
    let connection = Connection::open(url).await?;
    connection.execute(BEGIN, vec![]).await?;
    let done = match work(&connection).await? {
        Ending::Commit(done) => done,
        Ending::RollBack(done) => return Ok(done),
    };
    let Err(error) = connection.execute(COMMIT, vec![]).await else {
        return Ok(done);
    };
    // Nothing else may run in this session: its autocommit may still be off.
    drop(connection);
    if error.undoes_a_commit() {
        return Err(error.into());
    }
    match fate::look_up(url, async |connection| fate(connection, &done).await).await {
        TransactionFate::Committed => Ok(done),
        // The transaction certainly left nothing behind, whatever the server's error means, so all of it may be done
        // again.
        TransactionFate::RolledBack => Err(MysqlError::Lost(error.to_string()).into()),
        TransactionFate::Unknown => Err(MysqlError::CommitUnknown(error.to_string()).into()),
    }
}

/// The wait after failed attempt `attempt`, counted from 0: random, up to 20 ms doubled with each attempt, so that two
/// transactions that collided don't collide again.
fn retry_delay(attempt: u32, random: u64) -> Duration {
    let most_us = 20_000_u64 << attempt.min(6);
    Duration::from_micros(random % most_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_are_spread() {
        assert_eq!(retry_delay(0, 19_999), Duration::from_micros(19_999));
        assert_eq!(retry_delay(0, 20_000), Duration::ZERO);
        assert!(retry_delay(3, u64::MAX) < Duration::from_millis(160));
        assert!(retry_delay(u32::MAX, u64::MAX) < Duration::from_millis(1280));
    }

    #[test]
    fn a_rejection_keeps_its_meaning() {
        let conflict = StoreError::Conflict("no".into());
        assert_eq!(StoreError::from(Abort::from(conflict.clone())), conflict);
    }
}
