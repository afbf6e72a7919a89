//! `report_source = redis`: every order's hash, for each request. Naive on purpose: it shows what the cache must not be.

use std::collections::HashSet;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use store_domain::StoreError;
use store_domain::cache::{FILLED, id_in_key, pattern};
use store_domain::changes::Entity;
use store_domain::reports::{Report, Tally};
use store_guest::cache;
use store_guest::redis::{Redis, RedisError};

use crate::{mysql, refresh};

/// How many hashes are read at once.
const READS_AT_ONCE: usize = 256;

/// The report's body. Read from MySQL instead while Redis is down or not filled: never a wrong report.
///
/// # Errors
/// [`StoreError::Unavailable`] if neither Redis nor MySQL can be read.
pub(crate) async fn read(report: Report) -> Result<String, StoreError> {
    match add_up_if_filled().await {
        Ok(Some(tally)) => return Ok(body(report, &tally)),
        Ok(None) => {
            store_guest::log_sparsely("Redis is not filled: report read from MySQL instead")
        }
        Err(error) => {
            store_guest::log_sparsely(format_args!("report read from MySQL instead: {error}"));
        }
    }
    mysql::add_up(report).await
}

/// Every order in Redis added up, or `None` if some may be missing.
async fn add_up_if_filled() -> Result<Option<Tally>, RedisError> {
    let redis = Redis::open().await?;
    if !is_filled(&redis).await? {
        // Under plain Spin nobody else fills it. Under our host somebody is at it already, and this returns at once.
        if let Err(error) = refresh::run().await {
            store_guest::log_sparsely(error);
        }
        if !is_filled(&redis).await? {
            return Ok(None);
        }
    }
    add_up(&redis).await.map(Some)
}

/// Whether every order was written to this Redis since it started.
pub(crate) async fn is_filled(redis: &Redis) -> Result<bool, RedisError> {
    let (filled, run_id) = futures::try_join!(redis.get(FILLED), redis.run_id())?;
    Ok(filled.is_some_and(|filled| filled == run_id.as_bytes()))
}

async fn add_up(redis: &Redis) -> Result<Tally, RedisError> {
    let pattern = pattern(Entity::Order);
    let mut tally = Tally::default();
    // SCAN may find a key more than once.
    let mut added = HashSet::new();
    let mut cursor = None;
    loop {
        let (keys, next) = redis.scan(cursor.as_deref(), &pattern).await?;
        let new = keys
            .iter()
            .filter_map(|key| id_in_key(Entity::Order, key))
            .filter(|id| added.insert(*id))
            .collect::<Vec<_>>();
        let orders: Vec<_> = stream::iter(new)
            .map(|id| cache::order(redis, id))
            .buffer_unordered(READS_AT_ONCE)
            .try_collect()
            .await?;
        orders.iter().flatten().for_each(|order| tally.add(order));
        match next {
            Some(next) => cursor = Some(next),
            None => return Ok(tally),
        }
    }
}

fn body(report: Report, tally: &Tally) -> String {
    match report {
        Report::HighestSpenders => mysql::json(&tally.highest_spenders()),
        Report::BestSellers => mysql::json(&tally.best_sellers()),
    }
}
