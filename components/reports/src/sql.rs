//! Every statement of this component. Portable to MySQL 8.4 and MariaDB 10.11; money leaves as whole cents.

use store_domain::changes::Entity;
use store_guest::mysql::{ORDER_COLUMNS, placeholders};

/// From the summary tables: ten rows of an index, at any number of orders.
pub(crate) const HIGHEST_SPENDERS: &str = "SELECT user_id, CAST(total_expense * 100 AS SIGNED) FROM user_totals \
     WHERE total_expense > 0 ORDER BY total_expense DESC, user_id LIMIT 10";

pub(crate) const BEST_SELLERS: &str = "SELECT product_id, quantity_sold FROM product_totals \
     WHERE quantity_sold > 0 ORDER BY quantity_sold DESC, product_id LIMIT 10";

/// From every order: what the summary tables are worth is measured against these two.
pub(crate) const ADD_UP_SPENDERS: &str = "SELECT user_id, CAST(SUM(total_amount) * 100 AS SIGNED) AS total \
     FROM orders GROUP BY user_id HAVING total > 0 ORDER BY total DESC, user_id LIMIT 10";

pub(crate) const ADD_UP_SELLERS: &str = "SELECT product_id, CAST(SUM(quantity) AS SIGNED) AS total \
     FROM order_items GROUP BY product_id HAVING total > 0 ORDER BY total DESC, product_id LIMIT 10";

/// A page of changes. A transaction notes them right before it commits, and then its request writes to Redis, where
/// each command has a deadline of seconds: after 15 seconds, judged by one clock, none is still under way.
pub(crate) const CHANGES: &str = "SELECT id, entity, entity_id, created_at < NOW() - INTERVAL 15 SECOND \
     FROM cache_changes WHERE id > ? ORDER BY id LIMIT 1000";

pub(crate) fn forget_changes(changes: usize) -> String {
    format!(
        "DELETE FROM cache_changes WHERE id IN ({})",
        placeholders(changes)
    )
}

/// How many rows [`FORGET_OLD_KEYS`] deletes at most.
pub(crate) const OLD_KEYS_AT_ONCE: i64 = 10_000;

/// Rows that the statement before changed, on the same connection.
pub(crate) const ROW_COUNT: &str = "SELECT ROW_COUNT()";

/// A bounded number; see [`OLD_KEYS_AT_ONCE`].
pub(crate) const FORGET_OLD_KEYS: &str = "DELETE FROM idempotency_keys WHERE created_at < NOW() - INTERVAL 24 HOUR ORDER BY created_at LIMIT 10000";

/// The next orders after one, with all of their items.
pub(crate) fn orders_page() -> String {
    format!(
        "SELECT {ORDER_COLUMNS} \
         FROM (SELECT id, user_id, total_amount FROM orders WHERE id > ? ORDER BY id LIMIT 500) o \
         LEFT JOIN order_items i ON i.order_id = o.id ORDER BY o.id, i.product_id"
    )
}

const STOCK_COLUMNS: &str =
    "s.product_id, s.quantity, s.version, p.name, p.sku, CAST(p.price * 100 AS SIGNED)";

pub(crate) fn stocks(products: usize) -> String {
    format!(
        "SELECT {STOCK_COLUMNS} FROM stocks s JOIN products p ON p.id = s.product_id WHERE s.product_id IN ({})",
        placeholders(products)
    )
}

/// The next stocked products after one.
pub(crate) fn stocks_page() -> String {
    format!(
        "SELECT {STOCK_COLUMNS} FROM stocks s JOIN products p ON p.id = s.product_id \
         WHERE s.product_id > ? ORDER BY s.product_id LIMIT 500"
    )
}

/// Which of some ids belong in Redis.
pub(crate) fn existing(entity: Entity, ids: usize) -> String {
    let (column, table) = match entity {
        Entity::Order => ("id", "orders"),
        Entity::Product => ("product_id", "stocks"),
    };
    format!(
        "SELECT {column} FROM {table} WHERE {column} IN ({})",
        placeholders(ids)
    )
}
