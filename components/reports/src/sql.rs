//! All statements of this component. They are portable to MySQL 8.4 and MariaDB 10.11 and return money in whole cents.

/// Reads ten rows of an index of the summary table, at any number of orders.
pub(crate) const HIGHEST_SPENDERS: &str = "SELECT user_id, CAST(total_expense * 100 AS SIGNED) FROM user_totals \
     WHERE total_expense > 0 ORDER BY total_expense DESC, user_id LIMIT 10";

pub(crate) const BEST_SELLERS: &str = "SELECT product_id, quantity_sold FROM product_totals \
     WHERE quantity_sold > 0 ORDER BY quantity_sold DESC, product_id LIMIT 10";

/// Adds up every order. Measurements compare the summary tables with these two statements.
pub(crate) const ADD_UP_SPENDERS: &str = "SELECT user_id, CAST(SUM(total_amount) * 100 AS SIGNED) AS total \
     FROM orders GROUP BY user_id HAVING total > 0 ORDER BY total DESC, user_id LIMIT 10";

pub(crate) const ADD_UP_SELLERS: &str = "SELECT product_id, CAST(SUM(quantity) AS SIGNED) AS total \
     FROM order_items GROUP BY product_id HAVING total > 0 ORDER BY total DESC, product_id LIMIT 10";

/// Compares times in UTC: in a server's own time zone, one hour a year occurs twice and another not at all.
pub(crate) const IN_UTC: &str = "SET time_zone = '+00:00'";

/// The most rows that [`FORGET_OLD_KEYS`] deletes.
pub(crate) const OLD_KEYS_AT_ONCE: i64 = 10_000;

/// How many rows the previous statement on the same connection changed.
pub(crate) const ROW_COUNT: &str = "SELECT ROW_COUNT()";

/// Deletes a bounded number of old keys: [`OLD_KEYS_AT_ONCE`].
pub(crate) const FORGET_OLD_KEYS: &str = "DELETE FROM idempotency_keys WHERE created_at < NOW() - INTERVAL 24 HOUR ORDER BY created_at LIMIT 10000";

/// The next page of orders, after an id.
pub(crate) const ORDER_IDS: &str = "SELECT id FROM orders WHERE id > ? ORDER BY id LIMIT 500";
