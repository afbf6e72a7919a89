//! Compares totals that MySQL stores with the sums that it computes.

use anyhow::{Context, Result};
use mysql_async::Transaction;
use mysql_async::prelude::Queryable;
use store_domain::Cents;

use super::findings::{Audit, Check};
use crate::progress::Progress;

// Each query returns id, stored total and computed total of the rows where the two differ. A missing row of totals
// counts as 0. Orders are grouped by their primary key alone, so that the server needs no temporary table of millions
// of rows; `MAX` is of one value.

const ORDER_TOTALS: &str = "\
SELECT o.id, CAST(MAX(o.total_amount) * 100 AS SIGNED),
       CAST(COALESCE(SUM(i.quantity * i.unit_price), 0) * 100 AS SIGNED)
FROM orders o LEFT JOIN order_items i ON i.order_id = o.id
GROUP BY o.id HAVING MAX(o.total_amount) <> COALESCE(SUM(i.quantity * i.unit_price), 0) ORDER BY o.id";

const USER_TOTALS: &str = "\
SELECT id, CAST(kept * 100 AS SIGNED), CAST(computed * 100 AS SIGNED) FROM (
    SELECT u.id, COALESCE(t.total_expense, 0) AS kept, COALESCE(o.total, 0) AS computed
    FROM users u
    LEFT JOIN user_totals t ON t.user_id = u.id
    LEFT JOIN (SELECT user_id, SUM(total_amount) AS total FROM orders FORCE INDEX (PRIMARY) GROUP BY user_id) o
        ON o.user_id = u.id
) totals WHERE kept <> computed ORDER BY id";

const PRODUCT_TOTALS: &str = "\
SELECT id, CAST(kept AS SIGNED), CAST(computed AS SIGNED) FROM (
    SELECT p.id, COALESCE(t.quantity_sold, 0) AS kept, COALESCE(i.total, 0) AS computed
    FROM products p
    LEFT JOIN product_totals t ON t.product_id = p.id
    LEFT JOIN (SELECT product_id, SUM(quantity) AS total FROM order_items FORCE INDEX (PRIMARY) GROUP BY product_id) i
        ON i.product_id = p.id
) totals WHERE kept <> computed ORDER BY id";

/// A row of one of the queries above.
type Total = (i64, i64, i64);

/// Checks every stored total.
pub(super) async fn audit_totals(
    conn: &mut Transaction<'_>,
    audit: &mut Audit,
    progress: Progress,
) -> Result<()> {
    let _step = progress.step("totals in MySQL", 0);
    for (id, stored, computed) in
        differing(conn, audit, Check::OrderTotals, "orders", ORDER_TOTALS).await?
    {
        let (stored, computed) = (Cents::new(stored), Cents::new(computed));
        let text = format!("order {id}: total_amount is {stored}, its items add up to {computed}");
        audit.add(Check::OrderTotals, text);
    }
    for (id, stored, computed) in
        differing(conn, audit, Check::UserTotals, "users", USER_TOTALS).await?
    {
        let (stored, computed) = (Cents::new(stored), Cents::new(computed));
        let text = format!("user {id}: total_expense is {stored}, the orders add up to {computed}");
        audit.add(Check::UserTotals, text);
    }
    for (id, stored, computed) in differing(
        conn,
        audit,
        Check::ProductTotals,
        "products",
        PRODUCT_TOTALS,
    )
    .await?
    {
        let text = format!(
            "product {id}: quantity_sold is {stored}, the order items add up to {computed}"
        );
        audit.add(Check::ProductTotals, text);
    }
    Ok(())
}

async fn differing(
    conn: &mut Transaction<'_>,
    audit: &mut Audit,
    check: Check,
    table: &str,
    query: &str,
) -> Result<Vec<Total>> {
    let count: Option<usize> = conn
        .query_first(format!("SELECT COUNT(*) FROM {table}"))
        .await
        .with_context(|| format!("counting {table}"))?;
    audit.add_compared(check, count.unwrap_or_default());
    conn.query(query)
        .await
        .with_context(|| format!("adding up the totals of {table}"))
}
