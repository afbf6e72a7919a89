//! Orders and stock in Redis: read, written, and healed by whoever finds them missing.

mod calls;

use self::calls::Calls;
use spin_sdk::wasip3::random::random::get_random_u64;
use store_domain::cache::{
    self, CacheScript, ENTRY_LIFETIME, LEVEL_FIELDS, MARK_LIFETIME, ORDER_FIELDS, QUANTITY,
    STOCK_FIELDS, TURN_LIFETIME, changing_fields, order_from_values, order_values,
    stock_from_values, stock_values, turn_of_writer,
};
use store_domain::changes::{Entity, Subject};
use store_domain::orders::Order;
use store_domain::stock::{StockLevel, StockedProduct};

use crate::redis::Argument::Text;
use crate::redis::{Redis, RedisError, milliseconds};
use crate::trust;

/// A write to the cache. It counts only if it is still the writer's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The order as MySQL holds it.
    PutOrder(Order),
    /// The product as MySQL holds it.
    PutStock(StockedProduct),
    /// The product's new level, if Redis holds the product.
    MoveStock(StockLevel),
    /// The entity is gone.
    Forget(Entity, i64),
}

/// What a reader found in Redis.
pub enum Lookup<T> {
    /// What was looked for.
    Found(T),
    /// Nothing, and where to put it once it was read from MySQL. What does not answer is not healed: that would only be a
    /// second wait.
    Missing(Option<Redis>),
}

/// Looks in Redis for a reader, who goes on with MySQL if it is not there.
pub async fn look_up<T>(
    find: impl AsyncFnOnce(&Redis) -> Result<Option<T>, RedisError>,
) -> Lookup<T> {
    let Some(redis) = open().await else {
        return Lookup::Missing(None);
    };
    match log_failure(find(&redis).await) {
        Some(Some(found)) => Lookup::Found(found),
        Some(None) => Lookup::Missing(Some(redis)),
        None => Lookup::Missing(None),
    }
}

/// Joins Redis for a reader, who goes on with MySQL alone if it is down.
pub async fn open() -> Option<Redis> {
    log_failure(Redis::shared().await)
}

/// What reading or healing the cache gave, or nothing if it failed: MySQL is the truth, so a reader never fails for it.
pub fn log_failure<T>(outcome: Result<T, RedisError>) -> Option<T> {
    outcome
        .map_err(|error| crate::log_sparsely(format_args!("going on without the cache: {error}")))
        .ok()
}

/// The order in Redis, if it is there, whole, and to be trusted.
///
/// # Errors
/// If Redis is down.
pub async fn order(redis: &Redis, id: i64) -> Result<Option<Order>, RedisError> {
    let values = read(redis, Entity::Order, id, &ORDER_FIELDS).await?;
    Ok(values.and_then(|values| order_from_values(id, values)))
}

/// The product and its stock in Redis, if it is there, whole, and to be trusted.
///
/// # Errors
/// If Redis is down.
pub async fn stock(redis: &Redis, product_id: i64) -> Result<Option<StockedProduct>, RedisError> {
    let values = read(redis, Entity::Product, product_id, &STOCK_FIELDS).await?;
    Ok(values.and_then(|values| stock_from_values(product_id, values)))
}

/// The quantity of a product in Redis, if it is there and to be trusted.
///
/// # Errors
/// If Redis is down.
pub async fn quantity(redis: &Redis, product_id: i64) -> Result<Option<i64>, RedisError> {
    let values = read(redis, Entity::Product, product_id, &[QUANTITY]).await?;
    Ok(values.and_then(|[quantity]| quantity?.parse().ok()))
}

/// The values of an entity's fields. What is not there, its reader may put there: it has the turn from now on, unless
/// another has.
async fn read<const N: usize>(
    redis: &Redis,
    entity: Entity,
    id: i64,
    fields: &[&str; N],
) -> Result<Option<[Option<String>; N]>, RedisError> {
    let Some((epoch, script)) = trust::current(redis).await else {
        return Ok(None);
    };
    let mut arguments = vec![
        Text("read"),
        milliseconds(TURN_LIFETIME),
        Text(redis.turn()),
    ];
    arguments.extend(fields.iter().map(|field| Text(field)));
    let answer = redis
        .call(&script, &[cache::key(entity, id)], &arguments)
        .await
        .inspect_err(|_| trust::forget())?;
    Ok(answer.try_into().ok().filter(|_| trust::holds(epoch)))
}

/// Marks what a transaction will change: until the end of the writer's turn, or until its mark has run out, nobody finds
/// it in Redis and no reader puts it there. Says whether all are marked.
///
/// # Errors
/// If one can't be marked, after all were tried.
pub(crate) async fn mark(
    redis: &Redis,
    script: &CacheScript,
    turn: &Turn,
    changed: &[Subject],
) -> Result<bool, RedisError> {
    let mut calls = Calls::default();
    for (entity, id) in changed {
        let fields =
            std::iter::once(turn.0.as_str()).chain(changing_fields(*entity).iter().copied());
        let arguments = fields.map(str::to_owned).collect();
        calls.add("mark", MARK_LIFETIME, cache::key(*entity, *id), arguments);
    }
    calls.send(redis, script).await
}

/// Writes what a reader missed and has read from MySQL, where it has the turn.
pub async fn heal(redis: Option<&Redis>, missed: impl IntoIterator<Item = Write>) {
    if let (Some(redis), Some((_, script))) = (redis, trust::known()) {
        log_failure(write(redis, &script, missed, redis.turn()).await);
    }
}

/// The turn of one transaction at what it has marked. No two have the same: what one that failed marks late must not be
/// taken for the mark of another, which may not have ended its turn yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn(String);

impl Turn {
    /// A turn that nobody else has.
    pub(crate) fn new() -> Self {
        Self(turn_of_writer(get_random_u64()))
    }

    /// Ends it with what MySQL has committed. A failure is logged and no more: what was marked stays so.
    pub async fn end(self, writes: impl IntoIterator<Item = Write>) {
        let Some((_, script)) = trust::known() else {
            return;
        };
        let written = async {
            let redis = Redis::open().await?;
            write(&redis, &script, writes, &self.0).await
        };
        if let Err(error) = written.await {
            crate::log_sparsely(format_args!(
                "cache not written, readers ask MySQL: {error}"
            ));
        }
    }
}

/// Writes, all together rather than one after the other: a whole group takes one round trip.
async fn write(
    redis: &Redis,
    script: &CacheScript,
    writes: impl IntoIterator<Item = Write>,
    turn: &str,
) -> Result<(), RedisError> {
    let mut calls = Calls::default();
    for write in writes {
        let (what, fields, values) = match &write {
            Write::PutOrder(order) => ("put", &ORDER_FIELDS[..], order_values(order).to_vec()),
            Write::PutStock(product) => ("put", &STOCK_FIELDS[..], stock_values(product).to_vec()),
            Write::MoveStock(level) => {
                let values = vec![level.quantity.to_string(), level.version.to_string()];
                ("move", &LEVEL_FIELDS[..], values)
            }
            Write::Forget(..) => ("drop", &[][..], vec![]),
        };
        let pairs = fields.iter().zip(values);
        let pairs = pairs.flat_map(|(&field, value)| [field.to_owned(), value]);
        let arguments = std::iter::once(turn.to_owned()).chain(pairs).collect();
        let (entity, id) = write.about();
        calls.add(what, ENTRY_LIFETIME, cache::key(entity, id), arguments);
    }
    calls.send(redis, script).await.map(drop)
}

impl Write {
    /// What is written.
    const fn about(&self) -> (Entity, i64) {
        match self {
            Self::PutOrder(order) => (Entity::Order, order.order_id),
            Self::PutStock(product) => (Entity::Product, product.level.product_id),
            Self::MoveStock(level) => (Entity::Product, level.product_id),
            Self::Forget(entity, id) => (*entity, *id),
        }
    }
}
