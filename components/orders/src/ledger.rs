//! What placing or undoing orders moves in the database: stock and report totals; and what is marked in Redis for it.

use store_domain::changes::{Changed, Sale};
use store_domain::orders::Line;
use store_domain::settings::StockPolicy;
use store_domain::stock::{StockLevel, check_sale};
use store_guest::changes;
use store_guest::mysql::{Abort, Connection, MysqlError, ids};

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
    for lines in sale.lines.chunks(ROWS_AT_ONCE) {
        let taken = lines
            .iter()
            .flat_map(|line| [line.product_id, -line.quantity]);
        let statement = sql::add_to_stock(lines.len());
        connection.execute(&statement, ids(taken)).await?;
    }
    for lines in sale.lines.chunks(ROWS_AT_ONCE) {
        let sold = lines
            .iter()
            .flat_map(|line| [line.product_id, line.quantity]);
        let statement = sql::add_to_product_totals(lines.len());
        connection.execute(&statement, ids(sold)).await?;
    }
    let (user_id, expense) = sale.buyer;
    let spent = vec![user_id.into(), expense.to_string().into()];
    connection.execute(sql::ADD_TO_USER_TOTAL, spent).await?;
    let levels = levels(connection, &sale.lines).await?;
    check_sale(policy, &sale.lines, &levels)?;
    changes::note(connection, changed).await?;
    Ok(levels)
}

/// The moved levels, by ascending product. The first look at a snapshot comes after the last lock: MariaDB with
/// `innodb_snapshot_isolation` refuses to lock what has changed since the snapshot.
async fn levels(connection: &Connection, lines: &[Line]) -> Result<Vec<StockLevel>, MysqlError> {
    let mut levels = Vec::with_capacity(lines.len());
    for lines in lines.chunks(ROWS_AT_ONCE) {
        let products = lines.iter().map(|line| line.product_id);
        let statement = sql::moved_stock(lines.len());
        levels.extend(
            connection
                .query::<StockLevel>(&statement, ids(products))
                .await?,
        );
    }
    Ok(levels)
}
