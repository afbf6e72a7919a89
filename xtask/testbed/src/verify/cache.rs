//! Compares Redis with MySQL: every order and every stock level that a reader would get from Redis. An entry that is
//! missing, marked by a writer, or of an earlier epoch doesn't count, because readers then ask MySQL.

use std::collections::HashSet;

use anyhow::{Context, Result};
use mysql_async::Transaction;
use mysql_async::prelude::Queryable;
use redis::RedisResult;
use store_domain::Cents;
use store_domain::cache::{self, ORDER_FIELDS, STOCK_FIELDS};
use store_domain::changes::Entity;
use store_domain::orders::{Order, OrderItem, OrderRow, assemble};
use store_domain::stock::{StockLevel, StockedProduct};

use super::findings::{Audit, Check};
use crate::progress::{Progress, Step};
use crate::redis_keys::StoreKeys;

// Both take the last id of the previous batch. The limit is the number of commands in one round trip to Redis.

const ORDERS: &str = "\
SELECT o.id, o.user_id, CAST(o.total_amount * 100 AS SIGNED), i.product_id, i.quantity,
       CAST(i.unit_price * 100 AS SIGNED)
FROM (SELECT id, user_id, total_amount FROM orders WHERE id > ? ORDER BY id LIMIT 1000) o
LEFT JOIN order_items i ON i.order_id = o.id
ORDER BY o.id, i.product_id";

const STOCKS: &str = "\
SELECT s.product_id, s.quantity, s.version, p.name, p.sku, CAST(p.price * 100 AS SIGNED)
FROM stocks s JOIN products p ON p.id = s.product_id
WHERE s.product_id > ? ORDER BY s.product_id LIMIT 1000";

/// Compares every order.
pub(super) async fn audit_orders(
    conn: &mut Transaction<'_>,
    keys: &mut StoreKeys,
    audit: &mut Audit,
    progress: Progress,
) -> Result<()> {
    let step = progress.step("orders in Redis", audit.compared(Check::OrderTotals) as u64);
    let epoch = epoch(conn).await?;
    let mut comparison = Comparison::new(Check::CachedOrders, Entity::Order, epoch, audit, &step);
    let mut last = 0;
    loop {
        let rows = conn
            .exec_map(ORDERS, (last,), order_row)
            .await
            .context("reading orders")?;
        let orders = assemble(rows);
        let Some(end) = orders.last() else { break };
        last = end.order_id;
        let batch = orders
            .into_iter()
            .map(|order| (order.order_id, order))
            .collect();
        comparison.compare(keys, &ORDERS_IN_REDIS, batch).await?;
    }
    comparison.find_unknown_keys(keys).await?;
    Ok(())
}

/// Compares every stock level.
pub(super) async fn audit_stocks(
    conn: &mut Transaction<'_>,
    keys: &mut StoreKeys,
    audit: &mut Audit,
    progress: Progress,
) -> Result<()> {
    let count: Option<u64> = conn
        .query_first("SELECT COUNT(*) FROM stocks")
        .await
        .context("counting stocks")?;
    let step = progress.step("stock levels in Redis", count.unwrap_or_default());
    let epoch = epoch(conn).await?;
    let mut comparison = Comparison::new(Check::CachedStocks, Entity::Product, epoch, audit, &step);
    let mut last = 0;
    loop {
        let stocks = conn
            .exec_map(STOCKS, (last,), stocked_product)
            .await
            .context("reading stocks")?;
        let Some(end) = stocks.last() else { break };
        last = end.level.product_id;
        let batch = stocks
            .into_iter()
            .map(|stock| (stock.level.product_id, stock))
            .collect();
        comparison.compare(keys, &STOCKS_IN_REDIS, batch).await?;
    }
    comparison.find_unknown_keys(keys).await?;
    Ok(())
}

/// The current epoch of the cache: entries of other epochs don't count. While the epoch is doubted, readers get nothing
/// from Redis, so the result then matches no entry.
async fn epoch(conn: &mut Transaction<'_>) -> Result<i64> {
    const NOT_SHOWN: i64 = -1;
    let epoch: Option<i64> = conn
        .query_first(
            "SELECT epoch FROM cache_state WHERE id = 1 AND epoch NOT IN (SELECT epoch FROM cache_doubts)",
        )
        .await
        .context("reading the epoch of the cache")?;
    Ok(epoch.unwrap_or(NOT_SHOWN))
}

/// The fields that decide whether readers get a hash: its epoch, and the turn of a writer.
const STATE_FIELDS: [&str; 2] = ["epoch", "turn"];

/// Whether readers get a hash with these [`STATE_FIELDS`].
fn is_shown(state: &[Option<String>], now: i64) -> bool {
    let [epoch, turn] = state else {
        return true;
    };
    let epoch = epoch.as_deref().map_or(Ok(0), str::parse);
    turn.is_none() && epoch == Ok(now)
}

/// How an entity is encoded in a hash of `N` fields.
struct Coding<T, const N: usize> {
    fields: [&'static str; N],
    encode: fn(&T) -> [String; N],
    decode: fn(i64, [Option<String>; N]) -> Option<T>,
}

const ORDERS_IN_REDIS: Coding<Order, 3> = Coding {
    fields: ORDER_FIELDS,
    encode: cache::order_values,
    decode: cache::order_from_values,
};

const STOCKS_IN_REDIS: Coding<StockedProduct, 5> = Coding {
    fields: STOCK_FIELDS,
    encode: cache::stock_values,
    decode: cache::stock_from_values,
};

/// The audit of one kind of key.
struct Comparison<'a> {
    check: Check,
    entity: Entity,
    epoch: i64,
    audit: &'a mut Audit,
    step: &'a Step,
    /// The ids that exist in MySQL.
    known: HashSet<i64>,
}

impl<'a> Comparison<'a> {
    fn new(check: Check, entity: Entity, epoch: i64, audit: &'a mut Audit, step: &'a Step) -> Self {
        Self {
            check,
            entity,
            epoch,
            audit,
            step,
            known: HashSet::new(),
        }
    }

    /// Compares rows of MySQL with their hashes in Redis.
    async fn compare<T: PartialEq, const N: usize>(
        &mut self,
        keys: &mut StoreKeys,
        coding: &Coding<T, N>,
        expected: Vec<(i64, T)>,
    ) -> Result<()> {
        let mut commands = redis::pipe();
        // A key that is not a hash is a difference to report, not a reason to stop.
        commands.ignore_errors();
        let fields: Vec<&str> = coding.fields.into_iter().chain(STATE_FIELDS).collect();
        for (id, _) in &expected {
            commands.hmget(keys.of(self.entity, *id), &fields);
        }
        let found: RedisResult<Vec<RedisResult<Vec<Option<String>>>>> =
            commands.query_async(&mut keys.redis).await;
        let found = keys.explained(found).context("reading hashes from Redis")?;
        self.step.advance(expected.len());
        for ((id, expected), found) in expected.into_iter().zip(found) {
            self.known.insert(id);
            keys.check_held(&found)?;
            let Some(found) = shown(found, self.epoch) else {
                continue;
            };
            self.audit.add_compared(self.check, 1);
            if let Some(difference) = coding.difference(id, &expected, found) {
                self.audit.add(
                    self.check,
                    format!("{}: {difference}", keys.of(self.entity, id)),
                );
            }
        }
        Ok(())
    }

    /// Reports keys whose ids are not in MySQL.
    async fn find_unknown_keys(&mut self, keys: &mut StoreKeys) -> Result<()> {
        for key in keys.all_of(self.entity).await? {
            let id = keys.id_in(self.entity, &key);
            if id.is_some_and(|id| self.known.contains(&id)) {
                continue;
            }
            let mut command = redis::cmd("HMGET");
            command.arg(&key).arg(&STATE_FIELDS);
            let state: RedisResult<Vec<Option<String>>> =
                command.query_async(&mut keys.redis).await;
            if state.is_ok_and(|state| is_shown(&state, self.epoch)) {
                self.audit
                    .add(self.check, format!("{key}: in Redis, but not in MySQL"));
            }
        }
        Ok(())
    }
}

/// The values of a hash if readers get it, or why it can't be read.
fn shown<const N: usize>(
    found: RedisResult<Vec<Option<String>>>,
    epoch: i64,
) -> Option<RedisResult<[Option<String>; N]>> {
    let mut values = match found {
        Ok(values) => values,
        Err(error) => return Some(Err(error)),
    };
    let state = values.split_off(N);
    let is_there = values.iter().any(Option::is_some);
    let values = values.try_into().ok()?;
    (is_there && is_shown(&state, epoch)).then_some(Ok(values))
}

impl<T: PartialEq, const N: usize> Coding<T, N> {
    fn difference(
        &self,
        id: i64,
        expected: &T,
        found: RedisResult<[Option<String>; N]>,
    ) -> Option<String> {
        let values = match found {
            Ok(values) => values,
            Err(error) => return Some(format!("unreadable: {error}")),
        };
        // Compares the decoded value, not its encoding.
        if (self.decode)(id, values.clone()).as_ref() == Some(expected) {
            return None;
        }
        let encoded = (self.encode)(expected);
        let fields = self.fields.iter().zip(&values).zip(&encoded);
        let differing = fields.filter(|((_, found), expected)| found.as_ref() != Some(expected));
        let described = differing.map(|((field, found), expected)| {
            let found = found.as_deref().unwrap_or("missing");
            format!("{field} is {found} in Redis, {expected} in MySQL")
        });
        Some(described.collect::<Vec<_>>().join("; "))
    }
}

type OrderColumns = (i64, i64, i64, Option<i64>, Option<i64>, Option<i64>);

fn order_row(
    (order_id, user_id, total, product_id, quantity, unit_price): OrderColumns,
) -> OrderRow {
    let item =
        product_id
            .zip(quantity)
            .zip(unit_price)
            .map(|((product_id, quantity), unit_price)| OrderItem {
                product_id,
                quantity,
                unit_price: Cents::new(unit_price),
            });
    OrderRow {
        order_id,
        user_id,
        total_amount: Cents::new(total),
        item,
    }
}

type StockColumns = (i64, i64, i64, String, String, i64);

fn stocked_product(
    (product_id, quantity, version, name, sku, price): StockColumns,
) -> StockedProduct {
    let level = StockLevel {
        product_id,
        quantity,
        version,
    };
    StockedProduct {
        name,
        sku,
        unit_price: Cents::new(price),
        level,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_or_of_an_earlier_epoch_is_not_shown() {
        let hash = |epoch: &str, turn: Option<&str>| {
            let values = [Some("5"), Some(epoch), turn];
            let values = values.map(|value| value.map(str::to_owned));
            shown::<1>(Ok(values.to_vec()), 7).is_some()
        };
        assert!(hash("7", None));
        assert!(!hash("6", None));
        assert!(!hash("7", Some("w12")));
    }
}
