//! Filling a Redis that lost its data: every order and stock level, in pages, and away with what MySQL doesn't know.

use std::collections::HashSet;

use store_domain::cache::{id_in_key, key, pattern};
use store_domain::changes::Entity;
use store_domain::orders::{OrderRow, assemble};
use store_domain::stock::StockedProduct;
use store_guest::cache::{self, Write};
use store_guest::mysql::{Connection, ids};
use store_guest::redis::Redis;

use crate::lease::Lease;
use crate::refresh::RefreshError;
use crate::sql;

/// Writes every order and every stock level to Redis. What changes meanwhile is among the changes, which come after.
///
/// # Errors
/// If MySQL or Redis fails, or the lease is lost.
pub(crate) async fn fill(
    connection: &Connection,
    redis: &Redis,
    lease: &Lease<'_>,
) -> Result<(), RefreshError> {
    put_orders(connection, redis, lease).await?;
    put_stocks(connection, redis, lease).await?;
    for entity in [Entity::Order, Entity::Product] {
        forget_unknown(connection, redis, lease, entity).await?;
    }
    Ok(())
}

async fn put_orders(
    connection: &Connection,
    redis: &Redis,
    lease: &Lease<'_>,
) -> Result<(), RefreshError> {
    let statement = sql::orders_page();
    let mut last = 0;
    loop {
        let rows: Vec<OrderRow> = connection.query(&statement, ids([last])).await?;
        let Some(row) = rows.last() else {
            return Ok(());
        };
        last = row.order_id;
        let orders = assemble(rows).into_iter().map(Write::PutOrder);
        cache::write(redis, orders).await?;
        lease.renew().await?;
    }
}

async fn put_stocks(
    connection: &Connection,
    redis: &Redis,
    lease: &Lease<'_>,
) -> Result<(), RefreshError> {
    let statement = sql::stocks_page();
    let mut last = 0;
    loop {
        let rows: Vec<StockedProduct> = connection.query(&statement, ids([last])).await?;
        let Some(row) = rows.last() else {
            return Ok(());
        };
        last = row.level.product_id;
        cache::write(redis, rows.into_iter().map(Write::PutStock)).await?;
        lease.renew().await?;
    }
}

/// Deletes the keys of one kind that MySQL has nothing for. Each step is judged by what MySQL holds after the step saw
/// the key, so an order placed meanwhile is known.
async fn forget_unknown(
    connection: &Connection,
    redis: &Redis,
    lease: &Lease<'_>,
    entity: Entity,
) -> Result<(), RefreshError> {
    let pattern = pattern(entity);
    let mut cursor = None;
    loop {
        let (keys, next) = redis.scan(cursor.as_deref(), &pattern).await?;
        if !keys.is_empty() {
            let known = existing(connection, entity, &keys).await?;
            let unknown = keys.iter().filter(|found| !known.contains(*found));
            cache::delete(redis, unknown).await?;
        }
        lease.renew().await?;
        match next {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

/// The keys that MySQL has something for.
async fn existing(
    connection: &Connection,
    entity: Entity,
    keys: &[String],
) -> Result<HashSet<String>, RefreshError> {
    let named: Vec<i64> = keys
        .iter()
        .filter_map(|key| id_in_key(entity, key))
        .collect();
    if named.is_empty() {
        return Ok(HashSet::new());
    }
    let statement = sql::existing(entity, named.len());
    let there = connection.query::<(i64,)>(&statement, ids(named)).await?;
    Ok(there.into_iter().map(|(id,)| key(entity, id)).collect())
}
