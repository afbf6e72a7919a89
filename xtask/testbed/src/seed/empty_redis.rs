//! Removes everything of the store from Redis.

use anyhow::{Context, Result};
use store_domain::cache;
use store_domain::changes::Entity;
use store_domain::reports::Report;

use crate::redis_keys::StoreKeys;

/// How many commands go in one round trip.
const BATCH: usize = 1_000;

/// Removes everything of the store from Redis and nothing else, because others may use the same server. The epoch ends
/// with this, so whatever a host writes meanwhile belongs to an old epoch.
pub(super) async fn forget_all(keys: &mut StoreKeys) -> Result<()> {
    let reports = Report::ALL.map(cache::report_key);
    let marks = [cache::STATE, cache::REFRESHED];
    let mut names: Vec<String> = marks
        .iter()
        .chain(&reports)
        .map(|key| keys.named(key).into_owned())
        .collect();
    for entity in [Entity::Order, Entity::Product] {
        names.extend(keys.all_of(entity).await?);
    }
    for batch in names.chunks(BATCH) {
        // One key per command, so that this works in a cluster too.
        let mut commands = redis::pipe();
        for name in batch {
            commands.unlink(name).ignore();
        }
        let emptied = commands.exec_async(&mut keys.redis).await;
        keys.explained(emptied).context("emptying Redis")?;
    }
    Ok(())
}
