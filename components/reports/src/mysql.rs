//! Reports from MySQL: ten rows of the summary tables or, with `report_source = mysql`, a sum over every order.

use serde::Serialize;
use store_domain::reports::{BestSeller, Report, Spender};
use store_domain::{Cents, StoreError};
use store_guest::mysql::{Connection, FromRow, MysqlError};
use store_guest::variables;

use crate::sql;

/// The report's body from the summary tables.
///
/// # Errors
/// The error of the query.
pub(crate) async fn summarise(
    connection: &Connection,
    report: Report,
) -> Result<String, MysqlError> {
    match report {
        Report::HighestSpenders => body(connection, sql::HIGHEST_SPENDERS, spender).await,
        Report::BestSellers => body(connection, sql::BEST_SELLERS, best_seller).await,
    }
}

/// The report's body from the orders themselves.
///
/// # Errors
/// [`StoreError::Unavailable`] if MySQL is down.
pub(crate) async fn add_up(report: Report) -> Result<String, StoreError> {
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    let body = match report {
        Report::HighestSpenders => body(&connection, sql::ADD_UP_SPENDERS, spender).await,
        Report::BestSellers => body(&connection, sql::ADD_UP_SELLERS, best_seller).await,
    };
    Ok(body?)
}

async fn body<Row: FromRow, Line: Serialize>(
    connection: &Connection,
    statement: &str,
    line: fn(Row) -> Line,
) -> Result<String, MysqlError> {
    let rows = connection.query(statement, vec![]).await?;
    Ok(json(&rows.into_iter().map(line).collect::<Vec<_>>()))
}

/// A report's lines as its body.
pub(crate) fn json(lines: &[impl Serialize]) -> String {
    serde_json::to_string(lines).expect("numbers are always JSON")
}

fn spender((user_id, total_expense): (i64, Cents)) -> Spender {
    Spender {
        user_id,
        total_expense,
    }
}

fn best_seller((product_id, quantity_sold): (i64, i64)) -> BestSeller {
    BestSeller {
        product_id,
        quantity_sold,
    }
}
