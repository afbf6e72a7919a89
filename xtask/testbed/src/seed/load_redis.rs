//! A dataset's orders and stock levels, into Redis.

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;
use store_domain::cache::{self, ORDER_FIELDS, STOCK_FIELDS};
use store_domain::changes::Entity;
use store_domain::reports::Report;

use super::dataset::Dataset;
use crate::progress::Progress;
use crate::redis_keys::{run_id, scan};

/// Commands in one round trip.
const BATCH: usize = 1_000;

/// A hash to write: its key, and its fields with their values.
type Hash = (String, Vec<(&'static str, String)>);

/// Writes every order and stock level, and then that Redis has them all. The reports are left to the refresh.
pub(super) async fn fill(
    redis: &mut MultiplexedConnection,
    data: &Dataset,
    progress: Progress,
) -> Result<()> {
    let step = progress.step("Redis", (data.orders.len() + data.products.len()) as u64);
    let mut hashes = hashes(data);
    loop {
        let batch: Vec<Hash> = hashes.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        let mut commands = redis::pipe();
        for (key, fields) in &batch {
            commands.hset_multiple(key, fields).ignore();
        }
        commands.exec_async(redis).await.context("filling Redis")?;
        step.advance(batch.len());
    }
    let filled = run_id(redis).await?;
    let mut command = redis::cmd("SET");
    command
        .arg(cache::FILLED)
        .arg(filled)
        .exec_async(redis)
        .await
        .context("marking Redis as filled")?;
    step.finish();
    Ok(())
}

/// Removes all that is the store's from Redis, and nothing else: it may be shared.
pub(super) async fn forget_all(redis: &mut MultiplexedConnection) -> Result<()> {
    // The mark first: a Redis that is half emptied is not filled.
    let reports = Report::ALL.map(cache::report_key);
    let marks = [cache::FILLED, cache::SEEN, cache::REFRESHED];
    let mut keys: Vec<String> = marks
        .iter()
        .chain(&reports)
        .map(|&key| key.to_owned())
        .collect();
    for entity in [Entity::Order, Entity::Product] {
        keys.extend(scan(redis, &cache::pattern(entity)).await?);
    }
    for batch in keys.chunks(BATCH) {
        // One key each, so that it works on a cluster too.
        let mut commands = redis::pipe();
        for key in batch {
            commands.unlink(key).ignore();
        }
        commands.exec_async(redis).await.context("emptying Redis")?;
    }
    Ok(())
}

fn hashes(data: &Dataset) -> impl Iterator<Item = Hash> {
    let orders = data.orders.iter().map(|order| {
        let fields = ORDER_FIELDS.into_iter().zip(cache::order_values(order));
        (cache::key(Entity::Order, order.order_id), fields.collect())
    });
    let stocks = data.products.iter().map(|product| {
        let fields = STOCK_FIELDS.into_iter().zip(cache::stock_values(product));
        (
            cache::key(Entity::Product, product.level.product_id),
            fields.collect(),
        )
    });
    orders.chain(stocks)
}
