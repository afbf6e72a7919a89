//! Whether what Redis holds of orders and stock may be shown: ADR 13.
//!
//! MySQL's `cache_state` says which server the cache is on and in which epoch it is. An instance believes what it read
//! there for half a second, and without that shows nothing from Redis. Whoever can't mark in Redis what it is about to
//! change doubts the epoch in MySQL, waits until no instance believes in it any more, and only then commits.

mod state;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use spin_sdk::wasip3::random::random::get_random_u64;
use store_domain::StoreError;
use store_domain::cache::{
    CHANGING, CacheScript, DOUBT_SETTLED, EPOCH_AT_LEAST, STATE, TRUST_LIFETIME,
};

use self::state::RedisState;
pub(crate) use self::state::{STATE_COLUMNS, State};
use crate::mysql::{Connection, MysqlError, ids};
use crate::redis::{Redis, RedisError};
use crate::variables;

/// Doubts an epoch. Its time is set a minute ahead, as this may take a while to be seen by everybody, and a doubt
/// counts from when it is: then [`DATE_DOUBT`] gives it its time.
const DOUBT: &str = "INSERT IGNORE INTO cache_doubts (epoch, doubted_at) \
     VALUES (?, UTC_TIMESTAMP(3) + INTERVAL 1 MINUTE)";

/// Dates a doubt that everybody can see by now. Should the writer that doubted end before this, the next one that
/// doubts dates it.
const DATE_DOUBT: &str = "UPDATE cache_doubts SET doubted_at = UTC_TIMESTAMP(3) \
     WHERE epoch = ? AND doubted_at > UTC_TIMESTAMP(3)";

/// Limits how long [`BEGIN_EPOCH`] waits for the transactions that rely on the old epoch: those that come meanwhile
/// wait behind it.
const WAIT_BRIEFLY: &str = "SET SESSION innodb_lock_wait_timeout = 1";

/// Begins an epoch. However late this comes, it never goes back to an earlier one.
const BEGIN_EPOCH: &str = "INSERT INTO cache_state (id, epoch, server) VALUES (1, ?, ?) \
     ON DUPLICATE KEY UPDATE server = IF(VALUES(epoch) > epoch, VALUES(server), server), \
     epoch = GREATEST(epoch, VALUES(epoch))";

const FORGET_DOUBTS: &str = "DELETE FROM cache_doubts WHERE epoch < ?";

const BEAT: &str =
    "INSERT INTO cache_beat (id, beat) VALUES (1, 1) ON DUPLICATE KEY UPDATE beat = beat + 1";

/// What an instance waits at least between two looks at `cache_state`.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// How often, and how long apart, a writer looks whether another begins a new epoch.
const LOOKS: usize = 10;
const BETWEEN_WRITER_LOOKS: Duration = Duration::from_millis(20);

/// Why nobody knows whether to trust Redis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Redis failed.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// MySQL failed.
    #[error(transparent)]
    Mysql(#[from] MysqlError),
    /// A variable is missing.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An epoch that was found to be right.
struct TrustedEpoch {
    epoch: i64,
    script: Rc<CacheScript>,
    until: Instant,
}

#[derive(Default)]
struct Trust {
    known: Option<TrustedEpoch>,
    next_look: Option<Instant>,
}

thread_local! {
    /// What this instance believes. It is the same for all of its requests.
    static TRUST: RefCell<Trust> = const { RefCell::new(Trust { known: None, next_look: None }) };
}

/// The script of the epoch that may be trusted now, read anew if that is due.
pub(crate) async fn current(redis: &Redis) -> Option<(i64, Rc<CacheScript>)> {
    if is_look_due()
        && let Err(error) = renew(redis).await
    {
        crate::log_sparsely(format_args!("going on without the cache: {error}"));
    }
    let now = Instant::now();
    TRUST.with_borrow(|trust| {
        let known = trust.known.as_ref().filter(|known| now < known.until)?;
        Some((known.epoch, known.script.clone()))
    })
}

/// Whether the epoch may still be trusted. Asked once more after Redis has answered: what it said was true then.
pub(crate) fn holds(epoch: i64) -> bool {
    let now = Instant::now();
    TRUST.with_borrow(|trust| {
        let known = trust.known.as_ref();
        known.is_some_and(|known| known.epoch == epoch && now < known.until)
    })
}

/// The script of the epoch that this instance knows, to be trusted or not.
pub(crate) fn known() -> Option<(i64, Rc<CacheScript>)> {
    TRUST.with_borrow(|trust| {
        let known = trust.known.as_ref()?;
        Some((known.epoch, known.script.clone()))
    })
}

/// Ends the trust in Redis, which did not do what was asked: it may be another server by now.
pub(crate) fn forget() {
    TRUST.with_borrow_mut(|trust| trust.known = None);
}

/// Whether the caller is to read `cache_state` anew. One caller is, before the time of what is known runs out, so that
/// the others can go on with that.
fn is_look_due() -> bool {
    let now = Instant::now();
    TRUST.with_borrow_mut(|trust| {
        let fresh_until = trust.known.as_ref().map(|known| known.until);
        let is_fresh = fresh_until.is_some_and(|until| now + TRUST_LIFETIME / 2 < until);
        if is_fresh || trust.next_look.is_some_and(|next| now < next) {
            return false;
        }
        trust.next_look = Some(now + BETWEEN_LOOKS);
        true
    })
}

/// Reads anew whether Redis may be trusted, and begins a new epoch if Redis is not what MySQL says. Gives the epoch that
/// may be trusted.
///
/// # Errors
/// If MySQL or Redis fails: then nothing is trusted for longer than before.
pub async fn renew(redis: &Redis) -> Result<Option<i64>, TrustError> {
    // Before a connection to MySQL is held: Redis may let us wait.
    let said = RedisState::read(redis).await?;
    let asked_at = Instant::now();
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    let state = State::read(&connection).await?;
    let is_right = said.agrees(&state);
    match state.doubted_for {
        None if is_right => {
            know(redis, &state, asked_at + TRUST_LIFETIME).await?;
            return Ok(Some(state.epoch));
        }
        Some(doubted_for) if is_right && doubted_for < EPOCH_AT_LEAST => forget(),
        _ => {
            forget();
            begin_epoch(&connection, redis, &state, &said).await?;
        }
    }
    Ok(None)
}

/// The script of the epoch that a writer's transaction is in, if Redis agrees that it is that. Nothing is trusted for it:
/// what a transaction reads of doubts may be as old as the transaction.
pub(crate) async fn script(
    redis: &Redis,
    state: &State,
) -> Result<Option<Rc<CacheScript>>, RedisError> {
    if let Some((epoch, script)) = known()
        && epoch == state.epoch
    {
        return Ok(Some(script));
    }
    if state.doubted_for.is_some() || !RedisState::read(redis).await?.agrees(state) {
        return Ok(None);
    }
    know(redis, state, Instant::now()).await.map(Some)
}

/// Remembers the epoch, and trusts it up to `until`.
async fn know(redis: &Redis, state: &State, until: Instant) -> Result<Rc<CacheScript>, RedisError> {
    let renewed = TRUST.with_borrow_mut(|trust| {
        let known = trust.known.as_mut();
        let known = known.filter(|known| known.epoch == state.epoch)?;
        known.until = known.until.max(until);
        Some(known.script.clone())
    });
    if let Some(script) = renewed {
        return Ok(script);
    }
    let script = Rc::new(CacheScript::of(state.epoch, redis.prefix()));
    redis.load(&script).await?;
    TRUST.with_borrow_mut(|trust| {
        trust.known = Some(TrustedEpoch {
            epoch: state.epoch,
            script: script.clone(),
            until,
        });
    });
    Ok(script)
}

/// Begins an epoch that is later than any that MySQL or Redis knows. Nothing that was written before is shown in it.
async fn begin_epoch(
    connection: &Connection,
    redis: &Redis,
    state: &State,
    said: &RedisState,
) -> Result<(), TrustError> {
    let token = get_random_u64().to_string();
    if !redis.set_new_for(CHANGING, &token, EPOCH_AT_LEAST).await? {
        return Ok(());
    }
    let epoch = state.epoch.max(said.epoch) + 1;
    // Redis first: it may refuse, and then there is no new epoch.
    redis.set(STATE, &format!("{epoch}:{}", state.beat)).await?;
    connection.execute(WAIT_BRIEFLY, vec![]).await?;
    let names = vec![epoch.into(), said.run_id.clone().into()];
    connection.execute(BEGIN_EPOCH, names).await?;
    connection.execute(FORGET_DOUBTS, ids([epoch])).await?;
    crate::log(format_args!("the cache begins anew: epoch {epoch}"));
    Ok(())
}

/// What a writer does that could not mark its changes in `epoch`: it has Redis agree with MySQL again, or doubts the epoch
/// until nobody trusts it. The first time that is not done if both agree: a transaction sees MySQL as it was when it began,
/// and Redis may be one beat ahead of that. It holds no connection meanwhile.
///
/// # Errors
/// If MySQL fails.
pub(crate) async fn settle(url: &str, epoch: i64, is_first: bool) -> Result<(), MysqlError> {
    for _ in 0..LOOKS {
        match renew_for_writer().await {
            Ok(Some(trusted)) if trusted != epoch || is_first => return Ok(()),
            Ok(None) => spin_sdk::time::sleep(BETWEEN_WRITER_LOOKS).await,
            Ok(Some(_)) | Err(_) => break,
        }
    }
    doubt(url, epoch).await
}

async fn renew_for_writer() -> Result<Option<i64>, TrustError> {
    renew(&Redis::open().await?).await
}

async fn doubt(url: &str, epoch: i64) -> Result<(), MysqlError> {
    forget();
    let connection = Connection::open(url).await?;
    connection.execute(DOUBT, ids([epoch])).await?;
    connection.execute(DATE_DOUBT, ids([epoch])).await?;
    let state = State::read(&connection).await?;
    drop(connection);
    crate::log_sparsely("Redis takes no writes: nothing is read from it until it does");
    if state.epoch == epoch {
        let doubted_for = state.doubted_for.unwrap_or_default();
        spin_sdk::time::sleep(DOUBT_SETTLED.saturating_sub(doubted_for)).await;
    }
    Ok(())
}

/// Counts a beat in MySQL and then in Redis, whereby a MySQL that is restored to before it is found out.
///
/// # Errors
/// If MySQL or Redis fails.
pub async fn beat(connection: &Connection, redis: &Redis) -> Result<(), TrustError> {
    connection.execute(BEAT, vec![]).await?;
    let state = State::read(connection).await?;
    if RedisState::read(redis).await?.agrees(&state) {
        redis
            .set(STATE, &format!("{}:{}", state.epoch, state.beat))
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_looks() {
        assert!(is_look_due());
        assert!(!is_look_due());
    }
}
