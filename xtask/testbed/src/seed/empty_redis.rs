//! Redis without anything of the store.

use anyhow::{Context, Result};
use store_domain::cache;
use store_domain::changes::Entity;
use store_domain::reports::Report;

use crate::redis_keys::StoreKeys;

/// Commands in one round trip.
const BATCH: usize = 1_000;

/// Removes all that is the store's from Redis, and nothing else: it may be shared. Whatever a host writes there meanwhile
/// is of an epoch that ends with this.
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
        // One key each, so that it works on a cluster too.
        let mut commands = redis::pipe();
        for name in batch {
            commands.unlink(name).ignore();
        }
        let emptied = commands.exec_async(&mut keys.redis).await;
        keys.explained(emptied).context("emptying Redis")?;
    }
    Ok(())
}
