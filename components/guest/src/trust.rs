//! Decides whether the orders and stock in Redis may be shown to clients: ADR 13.
//!
//! MySQL's `cache_state` names the Redis server and the epoch of the cache. An instance trusts what it read there for
//! half a second; without that, it shows nothing from Redis. A writer that can't mark its changes in Redis doubts the
//! epoch in MySQL, waits until no instance trusts that epoch any more, and only then commits.

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

/// Records a doubt about an epoch. Its time is first set a minute ahead, because the doubt may take a while to become
/// visible to all, and it counts only from then on: [`DATE_DOUBT`] sets its real time.
const DOUBT: &str = "INSERT IGNORE INTO cache_doubts (epoch, doubted_at) \
     VALUES (?, UTC_TIMESTAMP(3) + INTERVAL 1 MINUTE)";

/// Sets the time of a doubt that all instances can see by now. If the writer ends before this statement, the next
/// writer that doubts the epoch sets the time.
const DATE_DOUBT: &str = "UPDATE cache_doubts SET doubted_at = UTC_TIMESTAMP(3) \
     WHERE epoch = ? AND doubted_at > UTC_TIMESTAMP(3)";

/// Limits how long [`BEGIN_EPOCH`] waits for transactions that rely on the old epoch, because transactions that come
/// meanwhile wait behind it.
const WAIT_BRIEFLY: &str = "SET SESSION innodb_lock_wait_timeout = 1";

/// Begins an epoch. Even if this statement arrives late, it never sets an earlier epoch.
const BEGIN_EPOCH: &str = "INSERT INTO cache_state (id, epoch, server) VALUES (1, ?, ?) \
     ON DUPLICATE KEY UPDATE server = IF(VALUES(epoch) > epoch, VALUES(server), server), \
     epoch = GREATEST(epoch, VALUES(epoch))";

const FORGET_DOUBTS: &str = "DELETE FROM cache_doubts WHERE epoch < ?";

const BEAT: &str =
    "INSERT INTO cache_beat (id, beat) VALUES (1, 1) ON DUPLICATE KEY UPDATE beat = beat + 1";

/// The least time between two reads of `cache_state` by one instance.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// How often a writer checks whether another instance begins a new epoch, and how long it waits in between.
const LOOKS: usize = 10;
const BETWEEN_WRITER_LOOKS: Duration = Duration::from_millis(20);

/// Why it can't be decided whether to trust Redis.
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

/// An epoch in which MySQL and Redis agreed.
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
    /// What this instance knows of the cache's epoch; the same for all of its requests.
    static TRUST: RefCell<Trust> = const { RefCell::new(Trust { known: None, next_look: None }) };
}

/// The script of the epoch that may be trusted now. Reads the state again first, if that is due.
pub(crate) async fn current(redis: &Redis) -> Option<(i64, Rc<CacheScript>)> {
    if is_look_due()
        && let Err(error) = look(redis, State::read_at_once).await
    {
        crate::log_sparsely(format_args!("going on without the cache: {error}"));
    }
    let now = Instant::now();
    TRUST.with_borrow(|trust| {
        let known = trust.known.as_ref().filter(|known| now < known.until)?;
        Some((known.epoch, known.script.clone()))
    })
}

/// Whether the epoch may still be trusted. Readers ask again after Redis has answered, because the trust may have ended
/// meanwhile.
pub(crate) fn holds(epoch: i64) -> bool {
    let now = Instant::now();
    TRUST.with_borrow(|trust| {
        let known = trust.known.as_ref();
        known.is_some_and(|known| known.epoch == epoch && now < known.until)
    })
}

/// The script of the epoch that this instance knows, whether it may be trusted or not.
pub(crate) fn known() -> Option<(i64, Rc<CacheScript>)> {
    TRUST.with_borrow(|trust| {
        let known = trust.known.as_ref()?;
        Some((known.epoch, known.script.clone()))
    })
}

/// Ends the trust in Redis after Redis failed to do what was asked: the server may be another one by now.
pub(crate) fn forget() {
    TRUST.with_borrow_mut(|trust| trust.known = None);
}

/// Whether the caller has to read `cache_state` again. Only one caller has to, before the trust expires, so that other
/// requests go on with what is known.
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

/// Reads again whether Redis may be trusted, and begins a new epoch if Redis does not agree with MySQL. Returns the
/// epoch that may be trusted.
///
/// # Errors
/// If MySQL or Redis fails. The trust is then not extended.
pub async fn renew(redis: &Redis) -> Result<Option<i64>, TrustError> {
    look(redis, State::read).await
}

/// As [`renew`], with a function that reads the state in MySQL.
async fn look(
    redis: &Redis,
    read: impl AsyncFnOnce(&Connection) -> Result<State, MysqlError>,
) -> Result<Option<i64>, TrustError> {
    // Redis is asked before a connection to MySQL is taken, because Redis may be slow to answer.
    let said = RedisState::read(redis).await?;
    let asked_at = Instant::now();
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    let state = read(&connection).await?;
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

/// The script of the epoch that a writer's transaction read, if Redis agrees with that epoch. This does not extend the
/// trust: the doubts that a transaction sees may be as old as the transaction's snapshot.
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

/// Remembers the epoch, and trusts it until `until`. `redis` must be the connection over which the server was found to
/// agree, so that no other server gets the script: one whose data is old would answer by it.
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

/// Begins an epoch later than any that MySQL or Redis knows. Nothing that was written in an earlier epoch is shown in
/// it.
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
    // Redis is written first: if it refuses, no new epoch begins.
    redis.set(STATE, &format!("{epoch}:{}", state.beat)).await?;
    connection.execute(WAIT_BRIEFLY, vec![]).await?;
    let names = vec![epoch.into(), said.run_id.clone().into()];
    connection.execute(BEGIN_EPOCH, names).await?;
    connection.execute(FORGET_DOUBTS, ids([epoch])).await?;
    crate::log(format_args!(
        "the cache starts epoch {epoch}; earlier entries are ignored"
    ));
    Ok(())
}

/// What a writer does after it could not mark its changes in `epoch`: it makes Redis agree with MySQL again, or doubts
/// the epoch until no instance trusts it. It holds no connection while it waits.
///
/// The first time (`is_first`), if both agree already, it does not doubt the epoch: a transaction sees MySQL as of its
/// start, and Redis may be one beat ahead of that.
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
    crate::log_sparsely("Redis refuses writes; readers use MySQL until it accepts them");
    if state.epoch == epoch {
        let doubted_for = state.doubted_for.unwrap_or_default();
        spin_sdk::time::sleep(DOUBT_SETTLED.saturating_sub(doubted_for)).await;
    }
    Ok(())
}

/// Counts a beat in MySQL and then in Redis. If MySQL is restored from a backup, its beat is behind that of Redis,
/// which reveals it.
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
