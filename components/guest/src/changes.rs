//! Marks in Redis what a transaction changes, before the transaction commits. From then on readers ask MySQL, until
//! Redis has the new value or a new epoch begins. ADR 13 says why that is enough.

use std::collections::HashMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use store_domain::cache::DOUBT_SETTLED;
use store_domain::changes::{Entity, Subject};
use store_domain::stock::StockLevel;

use crate::cache::{self, Turn};
use crate::log_sparsely;
use crate::mysql::{Abort, Connection, MysqlError, ids, list_length, padded, placeholders};
use crate::redis::{Redis, RedisError};
use crate::trust::{self, STATE_COLUMNS, State};

/// The most entities in one statement.
const ROWS_AT_ONCE: usize = 500;

/// A mark that fails within this time is tried once more: the connection may have broken since its last use, which
/// shows at once. After a longer time there is no second try, because other transactions wait for this one's locks.
const AT_ONCE: Duration = Duration::from_millis(250);

/// How long Redis may take to mark what a transaction changed. This is shorter than the time for which a group of
/// orders waits for locks, so the failure counts as a failure of Redis and not as a lock held by another transaction.
const MARK_LIMIT: Duration = Duration::from_millis(600);

/// Marks the entities in `changed`. Call this inside the transaction, after all of its changes. Returns the turn that
/// the caller ends after the commit.
///
/// # Errors
/// Those of [`ChangeSet::look`] and [`ChangeSet::mark`].
pub async fn note(connection: &Connection, changed: &[Subject]) -> Result<Turn, Abort> {
    ChangeSet::look(connection, changed).await?.mark().await
}

/// The state of everything that a transaction changed, read after all of its changes.
pub struct ChangeSet {
    changed: Vec<Subject>,
    /// The state of the cache, locked until the transaction ends.
    state: Option<State>,
    /// The token that each order's writer left, by the order's id.
    writers: HashMap<i64, i64>,
    /// The stock levels, by ascending product.
    levels: Vec<StockLevel>,
}

impl ChangeSet {
    /// Reads the state inside the transaction of `connection`. This must be the transaction's first snapshot read,
    /// after its last lock: MariaDB with `innodb_snapshot_isolation` refuses to lock a row that changed after the
    /// snapshot.
    ///
    /// # Errors
    /// The error of MySQL.
    pub async fn look(connection: &Connection, changed: &[Subject]) -> Result<Self, MysqlError> {
        let mut rows: Vec<Row> = Vec::new();
        for changed in changed.chunks(ROWS_AT_ONCE) {
            let parameters = ids(ids_of(changed));
            rows.extend(
                connection
                    .query::<Row>(&outcome(changed), parameters)
                    .await?,
            );
        }
        Ok(Self::of(changed, rows))
    }

    fn of(changed: &[Subject], rows: Vec<Row>) -> Self {
        let mut found = Self {
            changed: changed.to_vec(),
            state: None,
            writers: HashMap::new(),
            levels: Vec::new(),
        };
        for (about, id, server, number, other) in rows {
            match about {
                ABOUT_ORDER => _ = found.writers.insert(id, number),
                ABOUT_PRODUCT => found.levels.push(StockLevel {
                    product_id: id,
                    quantity: other.unwrap_or_default(),
                    version: number,
                }),
                _ => found.state = Some((id, server, number, other).into()),
            }
        }
        found.levels.sort_unstable_by_key(|level| level.product_id);
        found
    }

    /// The token of the transaction that wrote an order, or `None` if there is no such order.
    pub fn writer(&self, order_id: i64) -> Option<i64> {
        self.writers.get(&order_id).copied()
    }

    /// The stock levels of those products that have a row in `stocks`, by ascending product.
    pub fn levels(&self) -> &[StockLevel] {
        &self.levels
    }

    /// Marks all entities in Redis. Returns the turn that the caller ends after the commit.
    ///
    /// # Errors
    /// [`Abort::NotMarked`] if Redis can't be written and readers may still trust it.
    pub async fn mark(&self) -> Result<Turn, Abort> {
        let turn = Turn::new();
        if self.changed.is_empty() {
            return Ok(turn);
        }
        let Some(state) = &self.state else {
            return Err(Abort::NotMarked(0));
        };
        match state.doubted_for {
            // No instance trusts Redis, and none will while this transaction holds the state.
            Some(time) if time >= DOUBT_SETTLED => return Ok(turn),
            // Soon no instance will trust Redis. The caller retries then, so that others need not wait for this
            // transaction's locks.
            Some(_) => return Err(Abort::NotMarked(state.epoch)),
            None => {}
        }
        let began_at = Instant::now();
        for is_last in [false, true] {
            match try_to_mark(state, &turn, &self.changed).await {
                Ok(true) => return Ok(turn),
                Ok(false) => {}
                Err(error) => log_sparsely(format_args!("can't mark changes in Redis: {error}")),
            }
            // What this instance knew of Redis is no longer true.
            trust::forget();
            if is_last || began_at.elapsed() > AT_ONCE {
                break;
            }
        }
        Err(Abort::NotMarked(state.epoch))
    }
}

/// Returns whether all entities were marked.
async fn try_to_mark(state: &State, turn: &Turn, changed: &[Subject]) -> Result<bool, RedisError> {
    let marking = async {
        let redis = Redis::open().await?;
        match trust::script(&redis, state).await? {
            Some(script) => cache::mark(&redis, &script, turn, changed).await,
            None => Ok(false),
        }
    };
    match select(pin!(marking), pin!(spin_sdk::time::sleep(MARK_LIMIT))).await {
        Either::Left((marked, _)) => marked,
        Either::Right(_) => Err(RedisError::silent()),
    }
}

/// A row of [`outcome`]. The first column is its kind: `ABOUT_STATE`, `ABOUT_ORDER` or [`ABOUT_PRODUCT`]. The other
/// columns are, for the state: epoch, server, beat and milliseconds of doubt; for an order: its id, nothing, its
/// writer's token and nothing; for a product: its id, nothing, and the version and quantity of its stock.
pub type Row = (i64, i64, String, i64, Option<i64>);

const ABOUT_STATE: i64 = 0;
const ABOUT_ORDER: i64 = 1;
/// The kind of a [`Row`] about a product's stock.
pub const ABOUT_PRODUCT: i64 = 2;

/// Builds the query for the state of the cache, which it locks until the transaction ends, and for each of the orders
/// and each of the products' stock levels that exist.
///
/// `FORCE INDEX` makes the server look up each row by its primary key, whatever its statistics say. A server that has
/// just started may take the tables for almost empty and read them whole: 15 ms for 80,000 orders. No other index
/// contains an order's writer, or the server would read that index.
pub fn outcome(changed: &[Subject]) -> String {
    let mut statement = format!(
        "(SELECT {ABOUT_STATE}, {STATE_COLUMNS} FROM cache_state s WHERE s.id = 1 LOCK IN SHARE MODE)"
    );
    for (entity, columns, table, id) in [
        (
            Entity::Order,
            format!("{ABOUT_ORDER}, id, '', COALESCE(written_by, 0), NULL"),
            "orders",
            "id",
        ),
        (
            Entity::Product,
            format!("{ABOUT_PRODUCT}, product_id, '', version, quantity"),
            "stocks",
            "product_id",
        ),
    ] {
        let count = list_length(of(entity, changed).count());
        if count > 0 {
            let some = placeholders(count);
            statement += &format!(
                " UNION ALL (SELECT {columns} FROM {table} FORCE INDEX (PRIMARY) WHERE {id} IN ({some}))"
            );
        }
    }
    statement
}

/// The parameters of [`outcome`].
pub fn ids_of(changed: &[Subject]) -> impl Iterator<Item = i64> {
    let ids = |entity| padded(of(entity, changed).collect());
    ids(Entity::Order).into_iter().chain(ids(Entity::Product))
}

fn of(entity: Entity, changed: &[Subject]) -> impl Iterator<Item = i64> {
    let of_entity = changed.iter().filter(move |(of, _)| *of == entity);
    of_entity.map(|&(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_afterwards_is_told_apart() {
        let order = |id, writer| (ABOUT_ORDER, id, String::new(), writer, None);
        let stock =
            |id, version, quantity| (ABOUT_PRODUCT, id, String::new(), version, Some(quantity));
        let rows = vec![
            (ABOUT_STATE, 7, "server".into(), 3, None),
            order(5, 99),
            stock(8, 4, 1),
            stock(7, 12, -2),
        ];
        let found = ChangeSet::of(&[], rows);
        let state = found.state.as_ref().expect("it is there");
        assert_eq!((state.epoch, state.beat), (7, 3));
        assert_eq!((found.writer(5), found.writer(7)), (Some(99), None));
        let levels = found.levels().iter();
        let levels: Vec<_> = levels.map(|one| (one.product_id, one.quantity)).collect();
        assert_eq!(levels, [(7, -2), (8, 1)]);
    }

    #[test]
    fn only_what_changed_is_asked_for() {
        let changed = [
            (Entity::Product, 5),
            (Entity::Order, 7),
            (Entity::Product, 6),
        ];
        let statement = outcome(&changed);
        assert!(
            statement.ends_with("WHERE product_id IN (?, ?))"),
            "{statement}"
        );
        assert!(ids_of(&changed).eq([7, 5, 6]));
        assert!(!outcome(&changed[..1]).contains("orders"));
    }
}
