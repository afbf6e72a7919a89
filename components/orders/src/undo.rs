//! Deletes orders, which gives their pieces back to the stock.

use store_domain::Cents;
use store_domain::changes::{Entity, Sale, changed};
use store_domain::orders::Line;
use store_domain::stock::StockLevel;
use store_guest::cache::{Turn, Write};
use store_guest::changes::ChangeSet;
use store_guest::mysql::{Abort, Connection, MysqlError, TransactionFate, ids, transaction};

use crate::{ledger, sql};

/// What one transaction deleted.
struct Deletion {
    orders: Vec<i64>,
    levels: Vec<StockLevel>,
    turn: Turn,
}

impl Deletion {
    async fn tell_cache(self) {
        let orders = self.orders.into_iter();
        let orders = orders.map(|id| Write::Forget(Entity::Order, id));
        let levels = self.levels.into_iter().map(Write::MoveStock);
        self.turn.end(orders.chain(levels)).await;
    }
}

/// Deletes those of some orders that exist, in one transaction; all orders belong to one user. Then updates the cache.
/// Returns whether any order existed.
///
/// # Errors
/// The error of MySQL.
pub(crate) async fn orders(mysql_url: &str, order_ids: &[i64]) -> Result<bool, Abort> {
    let undone = transaction(
        mysql_url,
        async |connection| undo_in(connection, order_ids).await,
        async |connection, undone| fate(connection, undone.as_ref()).await,
    )
    .await?;
    let Some(undone) = undone else {
        return Ok(false);
    };
    undone.tell_cache().await;
    Ok(true)
}

async fn undo_in(connection: &Connection, order_ids: &[i64]) -> Result<Option<Deletion>, Abort> {
    let statement = sql::lock_orders(order_ids.len());
    let found: Vec<(i64, i64, Cents)> = connection
        .query(&statement, ids(order_ids.iter().copied()))
        .await?;
    let Some(&(_, user_id, _)) = found.first() else {
        return Ok(None);
    };
    let orders: Vec<i64> = found.iter().map(|(order_id, ..)| *order_id).collect();
    let parameters = || ids(orders.iter().copied());
    let lines: Vec<Line> = connection
        .query(&sql::lock_lines(orders.len()), parameters())
        .await?;
    connection
        .execute(&sql::delete_orders(orders.len()), parameters())
        .await?;
    let total_amount: Cents = found.iter().map(|(.., total_amount)| *total_amount).sum();
    let sale = Sale::undone(user_id, total_amount, lines);
    ledger::post(connection, &sale).await?;
    let outcome = ChangeSet::look(connection, &changed(&orders, &sale.lines)).await?;
    let turn = outcome.mark().await?;
    let levels = outcome.levels().to_vec();
    Ok(Some(Deletion {
        orders,
        levels,
        turn,
    }))
}

/// Whether the orders were deleted. One transaction deleted all of them, so looking for one is enough.
async fn fate(
    connection: &Connection,
    undone: Option<&Deletion>,
) -> Result<TransactionFate, MysqlError> {
    match undone.and_then(|undone| undone.orders.first()) {
        Some(order_id) => {
            TransactionFate::of_delete(connection, sql::ORDER_WRITER, *order_id).await
        }
        None => Ok(TransactionFate::Committed),
    }
}
