//! Whether a transaction happened whose commit was sent and never answered.

use std::time::Duration;

use spin_sdk::wasip3::random::random::get_random_u64;

use super::{Connection, MysqlError, ids};

/// How often it is looked up before the outcome is said to be open. With the waits in between this lasts for three
/// seconds: long enough for a server that restarts, short enough for a client that waits.
const LOOKS: u32 = 6;

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionFate {
    /// It happened.
    Committed,
    /// It did not happen, and never will.
    RolledBack,
    /// The rows look as they could in both cases.
    Unknown,
}

/// A number that a transaction writes into the row it makes, and by which it finds that row again. The row's id does not
/// do: a server that crashes may forget that it gave the id out, and give it to somebody else's row.
pub fn write_token() -> i64 {
    get_random_u64().cast_signed()
}

impl TransactionFate {
    /// Of a transaction that wrote a row with its `token`. The `statement` selects the token of the row `id` by a locking
    /// read, which waits until whatever the lost connection left behind has ended.
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

    /// Of a transaction that deleted the row `id`, which the `statement` selects by a locking read.
    ///
    /// # Errors
    /// If the row can't be looked for.
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

/// Looks until it can be told, on fresh connections.
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
            Err(error) => crate::log_sparsely(format_args!("looking up a lost commit: {error}")),
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
