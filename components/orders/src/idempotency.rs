//! `Idempotency-Key` in the database: looked up before the order's transaction, written inside it.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use store_domain::StoreError;
use store_domain::idempotency::{Claim, Recalled, Remembered};
use store_guest::mysql::{Abort, Connection, ParameterValue};

use crate::sql;

/// How often a request looks whether another one with its key has finished, and how long it waits in between. Longer
/// than an order takes, shorter than a client waits before it tries again.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// How long a key's row may be held up by another transaction's.
const PATIENCE: Duration = Duration::from_secs(1);

/// The answer to a request whose key another request is still using.
pub(crate) fn in_flight() -> StoreError {
    StoreError::Conflict("a request with this Idempotency-Key is still under way".into())
}

/// The order that the key stands for already, if any. A key past its time is forgotten on the way.
///
/// # Errors
/// [`StoreError::Conflict`] while another request with the key is under way, [`StoreError::Unacceptable`] if the key
/// stands for another body.
pub(crate) async fn recall(mysql_url: &str, claim: &Claim) -> Result<Option<i64>, StoreError> {
    let connection = Connection::open(mysql_url).await?;
    wait_for_others(&connection, claim).await?;
    let remembered = connection
        .first::<(String, i64, bool)>(sql::REMEMBERED, key(claim))
        .await?
        .map(|(body_sha256, order_id, expired)| Remembered {
            body_sha256,
            order_id,
            expired,
        });
    let Some(remembered) = remembered else {
        return Ok(None);
    };
    match claim.recall(&remembered)? {
        Recalled::Replay(order_id) => Ok(Some(order_id)),
        Recalled::Forget => {
            connection.execute(sql::FORGET_EXPIRED, key(claim)).await?;
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
        match connection.execute(sql::PROBE, key(claim)).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_locked() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(in_flight())
}

/// Writes the key, for the order that this connection inserted last.
///
/// # Errors
/// [`MysqlError::is_duplicate`](store_guest::mysql::MysqlError::is_duplicate) if another request with the key was
/// faster and has finished, [`StoreError::Conflict`] if it has not.
pub(crate) async fn record(connection: &Connection, claim: &Claim) -> Result<(), Abort> {
    let parameters = vec![
        claim.key_sha256.clone().into(),
        claim.body_sha256.clone().into(),
    ];
    let written = pin!(connection.execute(sql::REMEMBER, parameters));
    match select(written, pin!(spin_sdk::time::sleep(PATIENCE))).await {
        Either::Left((written, _)) => Ok(written?),
        // The other one came between our look and this, and holds the row for as long as its order takes. The
        // connection is dropped in the middle of its statement, so nobody uses it again.
        Either::Right(_) => Err(in_flight().into()),
    }
}

fn key(claim: &Claim) -> Vec<ParameterValue> {
    vec![claim.key_sha256.clone().into()]
}
