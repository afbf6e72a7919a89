//! What a transaction changes is marked in Redis before it commits: from then on readers ask MySQL, until the new value
//! is in Redis or somebody knows better. ADR 13 says why that is enough.

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

/// Most entities in one statement.
const ROWS_AT_ONCE: usize = 500;

/// A connection may have broken since it was last used, which shows at once: then it is tried again. Not after a wait, as
/// others wait for what the transaction has locked.
const AT_ONCE: Duration = Duration::from_millis(250);

/// How long Redis may take to mark what a transaction changed. Shorter than a group of orders waits for anything: so it fails
/// for want of Redis, and not as one that somebody's lock holds up.
const MARK_LIMIT: Duration = Duration::from_millis(600);

/// Marks what `changed`, inside the transaction that changes it and after all of its changes. Gives the turn that is to end
/// once it has committed.
///
/// # Errors
/// Those of [`ChangeSet::look`] and [`ChangeSet::mark`].
pub async fn note(connection: &Connection, changed: &[Subject]) -> Result<Turn, Abort> {
    ChangeSet::look(connection, changed).await?.mark().await
}

/// What there is of the things that a transaction changed, after all of its changes.
pub struct ChangeSet {
    changed: Vec<Subject>,
    /// That of the cache, which stays as it is until the transaction ends.
    state: Option<State>,
    /// The token of whoever wrote an order, by the order's id.
    writers: HashMap<i64, i64>,
    /// By ascending product.
    levels: Vec<StockLevel>,
}

impl ChangeSet {
    /// Looks, in the transaction of `connection`. It is the first look at a snapshot, after the last lock: MariaDB with
    /// `innodb_snapshot_isolation` refuses to lock what has changed since the snapshot.
    ///
    /// # Errors
    /// What MySQL fails with.
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

    /// By which transaction an order was written, if it is there.
    pub fn writer(&self, order_id: i64) -> Option<i64> {
        self.writers.get(&order_id).copied()
    }

    /// The stock of those of the products that have any row, by ascending product.
    pub fn levels(&self) -> &[StockLevel] {
        &self.levels
    }

    /// Marks all of it in Redis. Gives the turn that is to end once the transaction has committed.
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
            // Nobody trusts Redis, and nobody will as long as this transaction holds the state.
            Some(time) if time >= DOUBT_SETTLED => return Ok(turn),
            // Soon nobody will. Others need not wait until then for what this transaction has locked.
            Some(_) => return Err(Abort::NotMarked(state.epoch)),
            None => {}
        }
        let began_at = Instant::now();
        for is_last in [false, true] {
            match try_to_mark(state, &turn, &self.changed).await {
                Ok(true) => return Ok(turn),
                Ok(false) => {}
                Err(error) => log_sparsely(format_args!("changes not marked: {error}")),
            }
            // What the instance knew of Redis is no longer so.
            trust::forget();
            if is_last || began_at.elapsed() > AT_ONCE {
                break;
            }
        }
        Err(Abort::NotMarked(state.epoch))
    }
}

/// Says whether all are marked.
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

/// What a row of [`outcome`] is about; then epoch, server, beat and doubt, or an order's id, nothing, its writer and nothing,
/// or a product's id, nothing, and its stock's version and quantity.
pub type Row = (i64, i64, String, i64, Option<i64>);

const ABOUT_STATE: i64 = 0;
const ABOUT_ORDER: i64 = 1;
/// See [`Row`].
pub const ABOUT_PRODUCT: i64 = 2;

/// Queries the state of the cache, which then stays as it is until the transaction ends, and those things that are there
/// after it: each of the orders, and each of the products' stock.
///
/// Each thing is looked up by its primary key, whatever the server believes of its tables. One that has just started may
/// believe that they are all but empty, and would then rather read them whole: 15 ms for 80,000 orders. An order's writer
/// is in no other index, or it would read that one.
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
