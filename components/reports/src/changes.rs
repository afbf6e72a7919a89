//! `cache_changes`: what committed transactions changed and Redis may not show, because a host died in between.

use std::collections::HashSet;

use store_domain::changes::Entity;
use store_domain::orders::{OrderRow, assemble};
use store_domain::stock::StockedProduct;
use store_guest::cache::{self, Write};
use store_guest::mysql::{Connection, ids, orders_by_id};
use store_guest::redis::Redis;

use crate::refresh::RefreshError;
use crate::sql;

/// Most rows that one statement deletes.
const ROWS_AT_ONCE: usize = 1000;

/// One row of `cache_changes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) id: i64,
    pub(crate) entity: Entity,
    pub(crate) entity_id: i64,
    /// Whether it is so old that the request that made it has ended, and so has its own write to Redis.
    pub(crate) settled: bool,
}

/// Writes to Redis what MySQL holds of the next things that changed after row `after`. Gives the rows; none at the end.
///
/// # Errors
/// If MySQL or Redis fails.
pub(crate) async fn apply_page(
    connection: &Connection,
    redis: &Redis,
    after: i64,
) -> Result<Vec<Change>, RefreshError> {
    let page: Vec<Change> = connection
        .query::<(i64, String, i64, bool)>(sql::CHANGES, ids([after]))
        .await?
        .into_iter()
        .map(change)
        .collect::<Result<_, _>>()?;
    let mut writes = orders(connection, &changed(&page, Entity::Order)).await?;
    writes.extend(stocks(connection, &changed(&page, Entity::Product)).await?);
    cache::write(redis, writes).await?;
    Ok(page)
}

/// Deletes rows by their ids: a transaction that is still open may hold a smaller id than any of them.
///
/// # Errors
/// If MySQL fails.
pub(crate) async fn forget(connection: &Connection, rows: &[i64]) -> Result<(), RefreshError> {
    for rows in rows.chunks(ROWS_AT_ONCE) {
        let statement = sql::forget_changes(rows.len());
        connection
            .execute(&statement, ids(rows.iter().copied()))
            .await?;
    }
    Ok(())
}

fn change(
    (id, entity, entity_id, settled): (i64, String, i64, bool),
) -> Result<Change, RefreshError> {
    let entity = Entity::from_name(&entity).ok_or(RefreshError::UnknownEntity(id))?;
    Ok(Change {
        id,
        entity,
        entity_id,
        settled,
    })
}

/// The ids of one kind in a page, ascending, each once.
fn changed(page: &[Change], entity: Entity) -> Vec<i64> {
    let mut ids: Vec<i64> = page
        .iter()
        .filter(|change| change.entity == entity)
        .map(|change| change.entity_id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

async fn orders(connection: &Connection, changed: &[i64]) -> Result<Vec<Write>, RefreshError> {
    if changed.is_empty() {
        return Ok(vec![]);
    }
    let statement = orders_by_id(changed.len());
    let rows: Vec<OrderRow> = connection
        .query(&statement, ids(changed.iter().copied()))
        .await?;
    let there = assemble(rows)
        .into_iter()
        .map(|order| (order.order_id, Write::PutOrder(order)));
    Ok(put_or_forget(Entity::Order, changed, there))
}

async fn stocks(connection: &Connection, changed: &[i64]) -> Result<Vec<Write>, RefreshError> {
    if changed.is_empty() {
        return Ok(vec![]);
    }
    let statement = sql::stocks(changed.len());
    let rows: Vec<StockedProduct> = connection
        .query(&statement, ids(changed.iter().copied()))
        .await?;
    let there = rows
        .into_iter()
        .map(|product| (product.level.product_id, Write::PutStock(product)));
    Ok(put_or_forget(Entity::Product, changed, there))
}

/// Puts what is there, and forgets what changed and is there no more.
fn put_or_forget(
    entity: Entity,
    changed: &[i64],
    there: impl Iterator<Item = (i64, Write)>,
) -> Vec<Write> {
    let (found, mut writes): (HashSet<i64>, Vec<Write>) = there.unzip();
    let gone = changed.iter().filter(|id| !found.contains(id));
    writes.extend(gone.map(|&id| Write::Forget(entity, id)));
    writes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_changed_thing_is_read_once() {
        let row = |id, entity: &str, entity_id| {
            change((id, entity.into(), entity_id, false)).expect("it is known")
        };
        let page = [
            row(1, "order", 7),
            row(2, "product", 5),
            row(3, "product", 4),
            row(4, "product", 5),
        ];
        assert_eq!(changed(&page, Entity::Order), [7]);
        assert_eq!(changed(&page, Entity::Product), [4, 5]);
    }

    #[test]
    fn what_is_gone_from_mysql_goes_from_redis() {
        let there = [(1, Write::Forget(Entity::Order, 100))];
        assert_eq!(
            put_or_forget(Entity::Order, &[1, 2], there.into_iter()),
            [
                Write::Forget(Entity::Order, 100),
                Write::Forget(Entity::Order, 2)
            ]
        );
    }

    #[test]
    fn an_unknown_kind_of_change_is_an_error() {
        assert!(change((1, "user".into(), 1, true)).is_err());
    }
}
