//! Idempotency keys are remembered for a day.

use std::time::Instant;

use store_guest::mysql::{Connection, MysqlError};
use store_guest::variables;

use crate::lease::Lease;
use crate::refresh::RefreshError;
use crate::sql;

/// Deletes keys in steps, so that a backlog never becomes one huge transaction, and leaves what is not done by `until` to
/// the next refresh, so that it doesn't hold up the reports.
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

/// Deletes one step's keys, without a lease.
///
/// # Errors
/// If MySQL fails.
pub(crate) async fn forget_some_old() -> Result<(), RefreshError> {
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    connection.execute(sql::IN_UTC, vec![]).await?;
    forget_page(&connection).await?;
    Ok(())
}

/// Says whether there may be more.
async fn forget_page(connection: &Connection) -> Result<bool, MysqlError> {
    connection.execute(sql::FORGET_OLD_KEYS, vec![]).await?;
    let deleted = connection.first::<(i64,)>(sql::ROW_COUNT, vec![]).await?;
    Ok(deleted.is_some_and(|(deleted,)| deleted >= sql::OLD_KEYS_AT_ONCE))
}
