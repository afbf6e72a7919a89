//! Removes everything of the store from Redis.

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;
use store_domain::cache;
use store_domain::changes::Entity;
use store_domain::reports::Report;

use crate::redis_keys::scan;

/// How many commands go in one round trip.
const BATCH: usize = 1_000;

/// Removes everything of the store from Redis and nothing else, because others may use the same server. The epoch ends
/// with this, so whatever a host writes meanwhile belongs to an old epoch.
pub(super) async fn forget_all(redis: &mut MultiplexedConnection) -> Result<()> {
    let reports = Report::ALL.map(cache::report_key);
    let marks = [cache::STATE, cache::REFRESHED];
    let mut keys: Vec<String> = marks
        .iter()
        .chain(&reports)
        .map(|&key| key.to_owned())
        .collect();
    for entity in [Entity::Order, Entity::Product] {
        keys.extend(scan(redis, &cache::pattern(entity)).await?);
    }
    for batch in keys.chunks(BATCH) {
        // One key per command, so that this works in a cluster too.
        let mut commands = redis::pipe();
        for key in batch {
            commands.unlink(key).ignore();
        }
        commands.exec_async(redis).await.context("emptying Redis")?;
    }
    Ok(())
}
