//! `Idempotency-Key` in the database: looked up before a request's transaction, written inside it.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use store_domain::StoreError;
use store_domain::idempotency::{Claim, IdempotencyKey, KeyRecord, Recall};

use crate::Request;
use crate::mysql::{Abort, Connection, MysqlError, ParameterValue, placeholders, row_placeholders};

/// How often a request looks whether another one with its key has finished, and how long it waits in between. Longer
/// than an order takes, shorter than a client waits before it tries again.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// How long a key's row may be held up by another transaction's.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Fails at once if a transaction that has not ended has written the key.
const PROBE: &str = "SELECT 1 FROM idempotency_keys WHERE key_sha256 = ? FOR UPDATE NOWAIT";

/// Looks a key up. Its age is told in seconds of UTC: in a server's own time zone, one day a year has 23 hours and
/// another one 25.
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

/// The limit makes the server go by the primary key, of a small table too.
fn forget(keys: usize) -> String {
    format!(
        "DELETE FROM idempotency_keys WHERE key_sha256 IN ({}) ORDER BY key_sha256 LIMIT {keys}",
        placeholders(keys)
    )
}

/// The key of a request, if it has one.
///
/// # Errors
/// [`StoreError::Malformed`] if it has several, or one that is no key.
pub fn key(request: &Request) -> Result<Option<IdempotencyKey>, StoreError> {
    one_key(&request.header("idempotency-key"))
}

fn one_key(values: &[Vec<u8>]) -> Result<Option<IdempotencyKey>, StoreError> {
    match values {
        [] => Ok(None),
        [value] => IdempotencyKey::parse(value).map(Some),
        _ => Err(StoreError::Malformed(
            "there must be one Idempotency-Key at most".into(),
        )),
    }
}

/// Does `work` unless its key was used before: then it gives the answer that the first request got. `work` has to
/// [`record`] its answer in its own transaction, so that a crash leaves both or neither.
///
/// # Errors
/// What `work` fails with; [`StoreError::Conflict`] while another request with the key is under way,
/// [`StoreError::Unacceptable`] if the key stands for another request.
pub async fn once(
    mysql_url: &str,
    claim: Option<&Claim>,
    work: impl AsyncFn() -> Result<i64, Abort>,
) -> Result<i64, StoreError> {
    /// The second round reads what the first one collided with. A third is for a first that was rolled back meanwhile.
    const ROUNDS: usize = 3;
    let Some(claim) = claim else {
        return Ok(work().await?);
    };
    for _ in 0..ROUNDS {
        if let Some(answer) = recall(mysql_url, claim).await? {
            return Ok(answer);
        }
        match work().await {
            // Another request with the key committed between our look and our write.
            Err(Abort::Database(error)) if error.is_duplicate() => {}
            // It may be the first request with this very key that it conflicts with.
            Err(Abort::Rejected(refusal @ StoreError::Conflict(_))) => {
                return recall(mysql_url, claim).await?.ok_or(refusal);
            }
            outcome => return Ok(outcome?),
        }
    }
    Err(in_flight())
}

/// What `work` fails with if it finds out by itself that another request with the key came first and has ended.
/// [`once`] then looks up what that one was answered.
pub fn taken() -> Abort {
    MysqlError::duplicate("another request of the group has the key").into()
}

/// The answer to a request whose key another request is still using.
fn in_flight() -> StoreError {
    StoreError::Conflict("a request with this Idempotency-Key is still under way".into())
}

/// The answer that the key stands for already, if any. A key past its time is forgotten on the way.
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

/// Waits, for a moment, until no transaction holds the key. The probe runs outside a transaction, so the lock it takes
/// ends with it.
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

/// Writes the key, if there is one, with the answer of the transaction that this is part of.
///
/// # Errors
/// [`MysqlError::is_duplicate`](crate::mysql::MysqlError::is_duplicate) if another request with the key was faster and
/// has finished, [`StoreError::Conflict`] if it has not.
pub async fn record(
    connection: &Connection,
    claim: Option<&Claim>,
    answer: i64,
) -> Result<(), Abort> {
    let claim = claim.map(|claim| (claim, answer));
    record_all(connection, claim.into_iter().collect(), PATIENCE).await
}

/// As [`record`], of several requests with different keys, which wait for no longer than `patience`.
///
/// # Errors
/// Those of [`record`], which don't say whose key it is.
pub async fn record_all(
    connection: &Connection,
    mut claims: Vec<(&Claim, i64)>,
    patience: Duration,
) -> Result<(), Abort> {
    if claims.is_empty() {
        return Ok(());
    }
    // Two that write the same keys then don't wait for each other in a circle.
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
        // The other one came between our look and this, and holds the row for as long as its transaction takes. The
        // connection is dropped in the middle of its statement, so nobody uses it again.
        Either::Right(_) => Err(in_flight().into()),
    }
}

/// Takes back what [`record_all`] wrote in the same transaction.
///
/// # Errors
/// What MySQL fails with.
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
