//! Deletes idempotency keys that are older than a day.

use std::time::Instant;

use store_guest::mysql::{Connection, MysqlError};
use store_guest::variables;

use crate::lease::Lease;
use crate::refresh::RefreshError;
use crate::sql;

/// Deletes old keys in steps, so that a backlog never becomes one huge transaction. What is left at `until` waits for
/// the next refresh, so that it does not delay the reports.
///
/// # Errors
/// If MySQL or Redis fails, or the lease is lost.
pub(crate) async fn forget_old(
    connection: &Connection,
    lease: &Lease<'_>,
    until: Instant,
) -> Result<(), RefreshError> {
    connection.execute(sql::IN_UTC, vec![]).await?;
    while forget_page(connection).await? && Instant::now() < until {
        lease.renew().await?;
    }
    Ok(())
}

/// Deletes the keys of one step, without a lease.
///
/// # Errors
/// If MySQL fails.
pub(crate) async fn forget_some_old() -> Result<(), RefreshError> {
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    connection.execute(sql::IN_UTC, vec![]).await?;
    forget_page(&connection).await?;
    Ok(())
}

/// Deletes the keys of one step. Returns whether there may be more.
async fn forget_page(connection: &Connection) -> Result<bool, MysqlError> {
    connection.execute(sql::FORGET_OLD_KEYS, vec![]).await?;
    let deleted = connection.first::<(i64,)>(sql::ROW_COUNT, vec![]).await?;
    Ok(deleted.is_some_and(|(deleted,)| deleted >= sql::OLD_KEYS_AT_ONCE))
}
