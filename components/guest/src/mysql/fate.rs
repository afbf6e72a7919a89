//! Finds out whether a transaction happened whose commit was sent but never answered.

use std::time::Duration;

use spin_sdk::wasip3::random::random::get_random_u64;

use super::{Connection, MysqlError, ids};

/// How often the outcome is looked up before it counts as unknown. With the waits in between, this takes three seconds:
/// long enough for a server that restarts, short enough for a client that waits.
const LOOKS: u32 = 6;

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionFate {
    /// The transaction was committed.
    Committed,
    /// The transaction was not committed, and never will be.
    RolledBack,
    /// The rows can't tell which.
    Unknown,
}

/// A random number that a transaction writes into its new row, so that it can recognize the row later. The row's id is
/// not enough: a server that crashes may forget that it assigned the id, and assign it to another request's row.
pub fn write_token() -> i64 {
    get_random_u64().cast_signed()
}

impl TransactionFate {
    /// The fate of a transaction that inserted a row with its `token`. `statement` selects the token of the row `id` by
    /// a locking read, which waits until the lost connection's session has ended.
    ///
    /// # Errors
    /// If the row can't be read.
    pub async fn of_insert(
        connection: &Connection,
        statement: &str,
        id: i64,
        token: i64,
    ) -> Result<Self, MysqlError> {
        let found = connection
            .first::<(Option<i64>,)>(statement, ids([id]))
            .await?;
        Ok(Self::committed_if(found == Some((Some(token),))))
    }

    /// The fate of a transaction that deleted the row `id`. `statement` selects that row by a locking read.
    ///
    /// # Errors
    /// If the row can't be read.
    pub async fn of_delete(
        connection: &Connection,
        statement: &str,
        id: i64,
    ) -> Result<Self, MysqlError> {
        let found = connection
            .first::<(Option<i64>,)>(statement, ids([id]))
            .await?;
        Ok(Self::committed_if(found.is_none()))
    }

    fn committed_if(committed: bool) -> Self {
        if committed {
            Self::Committed
        } else {
            Self::RolledBack
        }
    }
}

/// Looks the outcome up, on a fresh connection each time, until it is known or [`LOOKS`] is reached.
pub(super) async fn look_up(
    url: &str,
    fate: impl AsyncFn(&Connection) -> Result<TransactionFate, MysqlError>,
) -> TransactionFate {
    for look in 0..LOOKS {
        if look > 0 {
            spin_sdk::time::sleep(wait_before(look)).await;
        }
        match look_once(url, &fate).await {
            Ok(fate) => return fate,
            Err(error) => crate::log_sparsely(format_args!(
                "can't look up whether a commit succeeded: {error}"
            )),
        }
    }
    TransactionFate::Unknown
}

async fn look_once(
    url: &str,
    fate: &impl AsyncFn(&Connection) -> Result<TransactionFate, MysqlError>,
) -> Result<TransactionFate, MysqlError> {
    let connection = Connection::open(url).await?;
    fate(&connection).await
}

/// Wait before look `look`, counted from 0: 100 ms doubled each time.
fn wait_before(look: u32) -> Duration {
    Duration::from_millis(50 << look.min(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_last_for_about_three_seconds() {
        let waits: Duration = (1..LOOKS).map(wait_before).sum();
        assert_eq!(waits, Duration::from_millis(3100));
    }
}
