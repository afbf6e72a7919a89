//! What placing or undoing orders moves in the database: stock, report totals, and the list of what Redis must follow.

use store_domain::changes::{Changed, Sale};
use store_domain::orders::Line;
use store_domain::settings::StockPolicy;
use store_domain::stock::{StockLevel, after_sale};
use store_guest::changes;
use store_guest::mysql::{Abort, Connection, ids};

use crate::sql;

/// Most rows in one statement: an order has no more, and a deleted user's orders may have any number.
const ROWS_AT_ONCE: usize = 500;

/// Moves stock and totals by `sale`, and notes what `changed`. Gives the stock levels from now on.
///
/// # Errors
/// [`Abort::Rejected`] if `policy` forbids to take that much.
pub(crate) async fn post(
    connection: &Connection,
    policy: StockPolicy,
    sale: &Sale,
    changed: &[Changed],
) -> Result<Vec<StockLevel>, Abort> {
    let mut levels = Vec::with_capacity(sale.lines.len());
    for lines in sale.lines.chunks(ROWS_AT_ONCE) {
        levels.extend(move_stock(connection, policy, lines).await?);
    }
    for lines in sale.lines.chunks(ROWS_AT_ONCE) {
        let sold = lines
            .iter()
            .flat_map(|line| [line.product_id, line.quantity]);
        let statement = sql::add_to_product_totals(lines.len());
        connection.execute(&statement, ids(sold)).await?;
    }
    if let Some((user_id, expense)) = sale.buyer {
        let spent = vec![user_id.into(), expense.to_string().into()];
        connection.execute(sql::ADD_TO_USER_TOTAL, spent).await?;
    }
    changes::note(connection, changed).await?;
    Ok(levels)
}

/// Locks the products' stock, by ascending product, before it decides: nobody else decides on the same pieces.
async fn move_stock(
    connection: &Connection,
    policy: StockPolicy,
    lines: &[Line],
) -> Result<Vec<StockLevel>, Abort> {
    let products = lines.iter().map(|line| line.product_id);
    let before: Vec<StockLevel> = connection
        .query(&sql::lock_stock(lines.len()), ids(products))
        .await?;
    let after = after_sale(policy, lines, &before)?;
    let taken = lines
        .iter()
        .flat_map(|line| [line.product_id, -line.quantity]);
    connection
        .execute(&sql::add_to_stock(lines.len()), ids(taken))
        .await?;
    Ok(after)
}
