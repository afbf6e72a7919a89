//! Reads and writes orders and stock in Redis. A reader that finds an entry missing writes it after reading MySQL.

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

/// A write to the cache. The script refuses it if the writer has lost its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The order as MySQL holds it.
    PutOrder(Order),
    /// The product as MySQL holds it.
    PutStock(StockedProduct),
    /// The product's new level, if Redis holds the product.
    MoveStock(StockLevel),
    /// Deletes the entity's entry.
    Forget(Entity, i64),
}

/// The result of a reader's lookup in Redis.
pub enum Lookup<T> {
    /// Redis had the value.
    Found(T),
    /// Redis has no value. Holds the connection on which the reader writes the value that it then reads from MySQL.
    /// `None` if Redis did not answer: writing to it would only make the reader wait a second time.
    Missing(Option<Redis>),
}

/// Looks a value up in Redis. If it is missing, the reader goes on with MySQL.
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

/// Joins the shared connection to Redis for a reader. `None` if Redis is down; the reader then uses MySQL alone.
pub async fn open() -> Option<Redis> {
    log_failure(Redis::shared().await)
}

/// Logs a failure to read or heal the cache and turns it into `None`. Every value is in MySQL too, so a reader never
/// fails because of the cache.
pub fn log_failure<T>(outcome: Result<T, RedisError>) -> Option<T> {
    outcome
        .map_err(|error| crate::log_sparsely(format_args!("going on without the cache: {error}")))
        .ok()
}

/// Reads an order from Redis. `None` if it is missing or incomplete, or if Redis can't be trusted.
///
/// # Errors
/// If Redis is down.
pub async fn order(redis: &Redis, id: i64) -> Result<Option<Order>, RedisError> {
    let values = read(redis, Entity::Order, id, &ORDER_FIELDS).await?;
    Ok(values.and_then(|values| order_from_values(id, values)))
}

/// Reads a product and its stock from Redis. `None` if it is missing or incomplete, or if Redis can't be trusted.
///
/// # Errors
/// If Redis is down.
pub async fn stock(redis: &Redis, product_id: i64) -> Result<Option<StockedProduct>, RedisError> {
    let values = read(redis, Entity::Product, product_id, &STOCK_FIELDS).await?;
    Ok(values.and_then(|values| stock_from_values(product_id, values)))
}

/// Reads the quantity of a product from Redis. `None` if it is missing, or if Redis can't be trusted.
///
/// # Errors
/// If Redis is down.
pub async fn quantity(redis: &Redis, product_id: i64) -> Result<Option<i64>, RedisError> {
    let values = read(redis, Entity::Product, product_id, &[QUANTITY]).await?;
    Ok(values.and_then(|[quantity]| quantity?.parse().ok()))
}

/// Reads the values of an entity's fields. If a field is missing, the script gives this reader the turn, and with it
/// the right to write the entity, unless another already holds the turn.
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

/// Marks what a transaction will change. Until the writer's turn ends or its mark expires, no reader finds these
/// entities in Redis or writes them there. Returns whether all of them were marked.
///
/// # Errors
/// If an entity can't be marked; all others are tried first.
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

/// Writes to Redis what a reader did not find there and then read from MySQL. Entities whose turn the reader does not
/// hold stay as they are.
pub async fn heal(redis: Option<&Redis>, missed: impl IntoIterator<Item = Write>) {
    if let (Some(redis), Some((_, script))) = (redis, trust::known()) {
        log_failure(write(redis, &script, missed, redis.turn()).await);
    }
}

/// One transaction's turn at the entities that it has marked. Each turn has a name of its own: a transaction that
/// failed may set its mark late, and that mark must not pass for the mark of another transaction whose turn has not
/// ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn(String);

impl Turn {
    /// A new turn with a random name.
    pub(crate) fn new() -> Self {
        Self(turn_of_writer(get_random_u64()))
    }

    /// Ends the turn by writing what MySQL has committed. A failure is only logged; the entities then stay marked.
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

/// Sends all writes together, not one after the other, so a whole group needs one round trip.
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
    /// The entity that the write changes.
    const fn about(&self) -> (Entity, i64) {
        match self {
            Self::PutOrder(order) => (Entity::Order, order.order_id),
            Self::PutStock(product) => (Entity::Product, product.level.product_id),
            Self::MoveStock(level) => (Entity::Product, level.product_id),
            Self::Forget(entity, id) => (*entity, *id),
        }
    }
}
