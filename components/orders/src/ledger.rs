//! What placing or deleting orders changes in other tables: stock and report totals.

use store_domain::Cents;
use store_domain::changes::Sale;
use store_domain::orders::Line;
use store_guest::mysql::{Connection, MysqlError, ids, rung};

use crate::sql;

/// The most rows in one statement. One order never has more; a group, or a deleted user's orders, may have any number.
pub(crate) const ROWS_AT_ONCE: usize = 500;

/// Changes stock and totals by `sale`.
///
/// # Errors
/// The error of MySQL.
pub(crate) async fn post(connection: &Connection, sale: &Sale) -> Result<(), MysqlError> {
    for lines in sale.lines.chunks(ROWS_AT_ONCE) {
        let statement = sql::add_to_stock(rung(lines.len()));
        let taken = rows(lines, |line| -line.quantity);
        connection.execute(&statement, ids(taken)).await?;
    }
    for lines in sale.lines.chunks(ROWS_AT_ONCE) {
        let statement = sql::add_to_product_totals(rung(lines.len()));
        let sold = rows(lines, |line| line.quantity);
        connection.execute(&statement, ids(sold)).await?;
    }
    for buyers in sale.buyers.chunks(ROWS_AT_ONCE) {
        let rows = rung(buyers.len());
        let last = buyers.last().map(|&(user_id, _)| (user_id, Cents::ZERO));
        let spent = buyers.iter().copied().chain(last.into_iter().cycle());
        let spent = spent
            .take(rows)
            .flat_map(|(user_id, expense)| [user_id.into(), expense.to_string().into()]);
        let statement = sql::add_to_user_totals(rows);
        connection.execute(&statement, spent.collect()).await?;
    }
    Ok(())
}

/// Product and quantity of each line, padded with rows of zero pieces.
fn rows(lines: &[Line], quantity: impl Fn(&Line) -> i64) -> impl Iterator<Item = i64> {
    let last = lines.last().map(|line| [line.product_id, 0]);
    let rows = lines
        .iter()
        .map(move |line| [line.product_id, quantity(line)]);
    let padded = rows.chain(last.into_iter().cycle());
    padded.take(rung(lines.len())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_by_nothing() {
        let line = |product_id| Line {
            product_id,
            quantity: 7,
        };
        let lines: Vec<Line> = (1..=5).map(line).collect();
        let padded: Vec<i64> = rows(&lines, |line| -line.quantity).collect();
        assert_eq!(padded, [1, -7, 2, -7, 3, -7, 4, -7, 5, -7, 5, 0]);
        assert_eq!(rows(&[], |line| line.quantity).count(), 0);
    }
}
