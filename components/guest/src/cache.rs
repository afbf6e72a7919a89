//! Orders and stock in Redis: read, written, and healed by whoever finds them missing.

use futures::stream::{self, StreamExt as _};
use store_domain::cache::{
    self, MOVE_STOCK, ORDER_FIELDS, PUT_STOCK, QUANTITY, STOCK_FIELDS, order_from_values,
    order_values, stock_from_values, stock_values,
};
use store_domain::changes::Entity;
use store_domain::orders::Order;
use store_domain::stock::{StockLevel, StockedProduct};

use crate::redis::Argument::Text;
use crate::redis::{Redis, RedisError, pairs};

/// How many commands are under way at once: enough to fill the pipe, few enough to hold in memory.
const COMMANDS_AT_ONCE: usize = 256;

/// A write to the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The order as MySQL holds it. Orders never change, so no version is needed.
    PutOrder(Order),
    /// The product as MySQL holds it, unless Redis is newer.
    PutStock(StockedProduct),
    /// The product's new level, if Redis holds the product and is older.
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

/// The order in Redis, if it is there and whole.
///
/// # Errors
/// If Redis is down.
pub async fn order(redis: &Redis, id: i64) -> Result<Option<Order>, RedisError> {
    let key = cache::key(Entity::Order, id);
    let values = redis.fields(&key, &ORDER_FIELDS).await?;
    Ok(order_from_values(id, values))
}

/// The product and its stock in Redis, if it is there and whole.
///
/// # Errors
/// If Redis is down.
pub async fn stock(redis: &Redis, product_id: i64) -> Result<Option<StockedProduct>, RedisError> {
    let key = cache::key(Entity::Product, product_id);
    let values = redis.fields(&key, &STOCK_FIELDS).await?;
    Ok(stock_from_values(product_id, values))
}

/// The quantity of a product in Redis, if it is there.
///
/// # Errors
/// If Redis is down.
pub async fn quantity(redis: &Redis, product_id: i64) -> Result<Option<i64>, RedisError> {
    let key = cache::key(Entity::Product, product_id);
    let [quantity] = redis.fields(&key, &[QUANTITY]).await?;
    Ok(quantity.and_then(|quantity| quantity.parse().ok()))
}

/// Writes, all together rather than one after the other: a whole order takes one round trip.
///
/// # Errors
/// If one write fails, after all were tried.
pub async fn write(
    redis: &Redis,
    writes: impl IntoIterator<Item = Write>,
) -> Result<(), RedisError> {
    together(writes.into_iter().map(|write| write_one(redis, write))).await
}

/// Writes what a reader missed and has read from MySQL, unless Redis is down.
pub async fn heal(redis: Option<&Redis>, missed: impl IntoIterator<Item = Write>) {
    if let Some(redis) = redis {
        log_failure(write(redis, missed).await);
    }
}

/// Deletes keys, whatever they hold.
///
/// # Errors
/// If one can't be deleted, after all were tried.
pub async fn delete(
    redis: &Redis,
    keys: impl IntoIterator<Item = &String>,
) -> Result<(), RedisError> {
    together(keys.into_iter().map(|key| redis.delete(key))).await
}

async fn together(
    commands: impl Iterator<Item: Future<Output = Result<(), RedisError>>>,
) -> Result<(), RedisError> {
    stream::iter(commands)
        .buffer_unordered(COMMANDS_AT_ONCE)
        .fold(Ok(()), |all, one| std::future::ready(all.and(one)))
        .await
}

/// Writes what MySQL has already committed. A failure is logged and no more: the refresh brings Redis in line.
pub async fn write_after_commit(writes: impl IntoIterator<Item = Write>) {
    let written = async {
        let redis = Redis::open().await?;
        write(&redis, writes).await
    };
    if let Err(error) = written.await {
        crate::log_sparsely(format_args!("cache not written, the refresh will: {error}"));
    }
}

async fn write_one(redis: &Redis, write: Write) -> Result<(), RedisError> {
    match write {
        Write::PutOrder(order) => {
            let key = cache::key(Entity::Order, order.order_id);
            redis
                .set_fields(&key, &ORDER_FIELDS, &order_values(&order))
                .await
        }
        Write::PutStock(product) => {
            let key = cache::key(Entity::Product, product.level.product_id);
            let version = product.level.version.to_string();
            let values = stock_values(&product);
            let mut arguments = vec![Text(&version)];
            arguments.extend(pairs(&STOCK_FIELDS, &values));
            redis.run(PUT_STOCK, &key, &arguments).await.map(drop)
        }
        Write::MoveStock(level) => {
            let key = cache::key(Entity::Product, level.product_id);
            let (version, quantity) = (level.version.to_string(), level.quantity.to_string());
            redis
                .run(MOVE_STOCK, &key, &[Text(&version), Text(&quantity)])
                .await
                .map(drop)
        }
        Write::Forget(entity, id) => redis.delete(&cache::key(entity, id)).await,
    }
}
