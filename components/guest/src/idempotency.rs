//! `Idempotency-Key` in the database: looked up before a request's transaction, written within it.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use store_domain::StoreError;
use store_domain::idempotency::{Claim, IdempotencyKey, KeyRecord, Recall};

use crate::Request;
use crate::mysql::{Abort, Connection, MysqlError, ParameterValue, placeholders, row_placeholders};

/// How often a request checks whether another request with its key has finished, and how long it waits in between. All
/// waits together are longer than an order takes, and shorter than a client waits before it retries.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// How long the insert of a key may wait for another transaction's lock on that row.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Fails at once if an open transaction has written the key.
const PROBE: &str = "SELECT 1 FROM idempotency_keys WHERE key_sha256 = ? FOR UPDATE NOWAIT";

/// Looks a key up. Its age is computed in seconds of UTC: in a server's own time zone, one day a year has 23 hours and
/// another has 25.
const REMEMBERED: &str = "SELECT body_sha256, order_id, UNIX_TIMESTAMP(created_at) < UNIX_TIMESTAMP() - 86400 \
     FROM idempotency_keys WHERE key_sha256 = ?";

const FORGET_EXPIRED: &str = "DELETE FROM idempotency_keys WHERE key_sha256 = ? \
     AND UNIX_TIMESTAMP(created_at) < UNIX_TIMESTAMP() - 86400";

fn remember(keys: usize) -> String {
    format!(
        "INSERT INTO idempotency_keys (key_sha256, body_sha256, order_id) VALUES {}",
        row_placeholders("(?, ?, ?)", keys)
    )
}

/// The `LIMIT` makes the server use the primary key, even if the table is small.
fn forget(keys: usize) -> String {
    format!(
        "DELETE FROM idempotency_keys WHERE key_sha256 IN ({}) ORDER BY key_sha256 LIMIT {keys}",
        placeholders(keys)
    )
}

/// The key of a request, if the request has one.
///
/// # Errors
/// [`StoreError::Malformed`] if the request has several keys, or a malformed one.
pub fn key(request: &Request) -> Result<Option<IdempotencyKey>, StoreError> {
    one_key(&request.header("idempotency-key"))
}

fn one_key(values: &[Vec<u8>]) -> Result<Option<IdempotencyKey>, StoreError> {
    match values {
        [] => Ok(None),
        [value] => IdempotencyKey::parse(value).map(Some),
        _ => Err(StoreError::Malformed(
            "send at most one Idempotency-Key".into(),
        )),
    }
}

/// Does `work`, unless the request's key was used before: then returns the answer of the first request. `work` has to
/// [`record`] its answer in its own transaction, so that a crash leaves both or neither.
///
/// # Errors
/// The error of `work`; [`StoreError::Conflict`] while another request with the key is under way;
/// [`StoreError::Unacceptable`] if the key was used for another request.
pub async fn once(
    mysql_url: &str,
    claim: Option<&Claim>,
    work: impl AsyncFn() -> Result<i64, Abort>,
) -> Result<i64, StoreError> {
    /// The second round reads the answer of the request that the first round collided with. The third round is for the
    /// case that this request was rolled back meanwhile.
    const ROUNDS: usize = 3;
    let Some(claim) = claim else {
        return Ok(work().await?);
    };
    for _ in 0..ROUNDS {
        if let Some(answer) = recall(mysql_url, claim).await? {
            return Ok(answer);
        }
        match work().await {
            // Another request with the key committed between our lookup and our insert.
            Err(Abort::Database(error)) if error.is_duplicate() => {}
            // The conflict may be with the first request under this same key.
            Err(Abort::Rejected(refusal @ StoreError::Conflict(_))) => {
                return recall(mysql_url, claim).await?.ok_or(refusal);
            }
            outcome => return Ok(outcome?),
        }
    }
    Err(in_flight())
}

/// The error that `work` returns if it finds that another request with the key came first and has ended. [`once`] then
/// looks up the answer of that request.
pub fn taken() -> Abort {
    MysqlError::duplicate("another request of the group has the key").into()
}

/// The answer to a request whose key another request is still using.
fn in_flight() -> StoreError {
    StoreError::Conflict("a request with this Idempotency-Key is still under way".into())
}

/// The stored answer for the key, if any. Deletes a key that is expired.
async fn recall(mysql_url: &str, claim: &Claim) -> Result<Option<i64>, StoreError> {
    let connection = Connection::open(mysql_url).await?;
    wait_for_others(&connection, claim).await?;
    let remembered = connection
        .first::<(String, i64, bool)>(REMEMBERED, key_of(claim))
        .await?
        .map(|(request_sha256, answer, expired)| KeyRecord {
            request_sha256,
            answer,
            expired,
        });
    let Some(remembered) = remembered else {
        return Ok(None);
    };
    match claim.recall(&remembered)? {
        Recall::Replay(answer) => Ok(Some(answer)),
        Recall::Forget => {
            connection.execute(FORGET_EXPIRED, key_of(claim)).await?;
            Ok(None)
        }
    }
}

/// Waits briefly until no transaction holds the key. The probe runs outside a transaction, so its lock ends with the
/// statement.
async fn wait_for_others(connection: &Connection, claim: &Claim) -> Result<(), StoreError> {
    for look in 0..LOOKS {
        if look > 0 {
            spin_sdk::time::sleep(BETWEEN_LOOKS).await;
        }
        match connection.execute(PROBE, key_of(claim)).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_locked() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(in_flight())
}

/// Stores the key, if there is one, with the answer, in the current transaction.
///
/// # Errors
/// [`MysqlError::is_duplicate`](crate::mysql::MysqlError::is_duplicate) if another request with the key was faster and
/// has finished, [`StoreError::Conflict`] if it has not finished.
pub async fn record(
    connection: &Connection,
    claim: Option<&Claim>,
    answer: i64,
) -> Result<(), Abort> {
    let claim = claim.map(|claim| (claim, answer));
    record_all(connection, claim.into_iter().collect(), PATIENCE).await
}

/// As [`record`], for several requests with different keys. Waits for at most `patience`.
///
/// # Errors
/// Those of [`record`]; they don't say which key is concerned.
pub async fn record_all(
    connection: &Connection,
    mut claims: Vec<(&Claim, i64)>,
    patience: Duration,
) -> Result<(), Abort> {
    if claims.is_empty() {
        return Ok(());
    }
    // Sorted, so that two transactions that write the same keys don't deadlock.
    claims.sort_by(|(one, _), (other, _)| one.key_sha256.cmp(&other.key_sha256));
    let statement = remember(claims.len());
    let columns = |(claim, answer): (&Claim, i64)| {
        [
            claim.key_sha256.clone().into(),
            claim.request_sha256.clone().into(),
            answer.into(),
        ]
    };
    let parameters = claims.into_iter().flat_map(columns).collect();
    let written = pin!(connection.execute(&statement, parameters));
    match select(written, pin!(spin_sdk::time::sleep(patience))).await {
        Either::Left((written, _)) => Ok(written?),
        // Another request wrote the key between our lookup and this insert, and holds the row's lock until its
        // transaction ends. The connection is dropped in the middle of its statement, so it is not used again.
        Either::Right(_) => Err(in_flight().into()),
    }
}

/// Deletes the keys that [`record_all`] wrote in the same transaction.
///
/// # Errors
/// The error of MySQL.
pub async fn take_back<'a>(
    connection: &Connection,
    claims: impl IntoIterator<Item = &'a Claim>,
) -> Result<(), Abort> {
    let keys: Vec<ParameterValue> = claims.into_iter().flat_map(key_of).collect();
    if keys.is_empty() {
        return Ok(());
    }
    Ok(connection.execute(&forget(keys.len()), keys).await?)
}

fn key_of(claim: &Claim) -> Vec<ParameterValue> {
    vec![claim.key_sha256.clone().into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_read_and_two_are_refused() {
        let line = || b"a".to_vec();
        assert_eq!(one_key(&[]), Ok(None));
        assert!(matches!(one_key(&[line()]), Ok(Some(_))));
        assert!(matches!(
            one_key(&[line(), line()]),
            Err(StoreError::Malformed(_))
        ));
    }
}
