//! Every statement of this component. Portable to MySQL 8.4 and MariaDB 10.11; money leaves as whole cents.
//!
//! What a transaction reads and relies on, it locks, so that no decision rests on an old snapshot. `LOCK IN SHARE MODE`
//! and `VALUES(column)` are the spellings that both servers know.

use store_guest::mysql::{placeholders, row_placeholders};

/// Prices, locked so that a product can't go before its order is there; the foreign key would take the same lock.
pub(crate) fn prices(products: usize) -> String {
    format!(
        "SELECT id, CAST(price * 100 AS SIGNED) FROM products WHERE id IN ({}) ORDER BY id LOCK IN SHARE MODE",
        placeholders(products)
    )
}

pub(crate) const INSERT_ORDER: &str = "INSERT INTO orders (user_id, total_amount) VALUES (?, ?)";

pub(crate) fn insert_items(items: usize) -> String {
    format!(
        "INSERT INTO order_items (order_id, product_id, quantity, unit_price) VALUES {}",
        row_placeholders("(?, ?, ?, ?)", items)
    )
}

/// Fails at once if another transaction has written the key and not ended.
pub(crate) const PROBE: &str =
    "SELECT 1 FROM idempotency_keys WHERE key_sha256 = ? FOR UPDATE NOWAIT";

pub(crate) const REMEMBERED: &str = "SELECT body_sha256, order_id, created_at < NOW() - INTERVAL 24 HOUR \
     FROM idempotency_keys WHERE key_sha256 = ?";

pub(crate) const FORGET_EXPIRED: &str =
    "DELETE FROM idempotency_keys WHERE key_sha256 = ? AND created_at < NOW() - INTERVAL 24 HOUR";

pub(crate) const REMEMBER: &str = "INSERT INTO idempotency_keys (key_sha256, body_sha256, order_id) VALUES (?, ?, LAST_INSERT_ID())";

pub(crate) const LOCK_ORDER: &str =
    "SELECT user_id, CAST(total_amount * 100 AS SIGNED) FROM orders WHERE id = ? FOR UPDATE";

pub(crate) const LOCK_ITEMS: &str = "SELECT product_id, quantity FROM order_items WHERE order_id = ? ORDER BY product_id FOR UPDATE";

/// Its items go with it.
pub(crate) const DELETE_ORDER: &str = "DELETE FROM orders WHERE id = ?";

pub(crate) fn lock_stock(products: usize) -> String {
    format!(
        "SELECT product_id, quantity, version FROM stocks WHERE product_id IN ({}) ORDER BY product_id FOR UPDATE",
        placeholders(products)
    )
}

pub(crate) fn add_to_stock(products: usize) -> String {
    format!(
        "INSERT INTO stocks (product_id, quantity, version) VALUES {} \
         ON DUPLICATE KEY UPDATE quantity = quantity + VALUES(quantity), version = version + 1",
        row_placeholders("(?, ?, 1)", products)
    )
}

pub(crate) fn add_to_product_totals(products: usize) -> String {
    format!(
        "INSERT INTO product_totals (product_id, quantity_sold) VALUES {} \
         ON DUPLICATE KEY UPDATE quantity_sold = quantity_sold + VALUES(quantity_sold)",
        row_placeholders("(?, ?)", products)
    )
}

pub(crate) const ADD_TO_USER_TOTAL: &str = "INSERT INTO user_totals (user_id, total_expense) VALUES (?, ?) \
     ON DUPLICATE KEY UPDATE total_expense = total_expense + VALUES(total_expense)";

pub(crate) const INSERT_USER: &str = "INSERT INTO users (name, email) VALUES (?, ?)";

/// A total of zero, so that an order only ever updates an existing row.
pub(crate) const INSERT_USER_TOTAL: &str = "INSERT INTO user_totals (user_id) VALUES (?)";

pub(crate) const USER: &str = "SELECT id, name, email FROM users WHERE id = ?";

/// While it is locked, the user places no order.
pub(crate) const LOCK_USER: &str = "SELECT id FROM users WHERE id = ? FOR UPDATE";

pub(crate) const LOCK_ORDERS_OF_USER: &str =
    "SELECT id FROM orders WHERE user_id = ? ORDER BY id FOR UPDATE";

pub(crate) const LOCK_LINES_OF_USER: &str = "SELECT i.product_id, CAST(SUM(i.quantity) AS SIGNED) \
     FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.user_id = ? \
     GROUP BY i.product_id ORDER BY i.product_id FOR UPDATE";

pub(crate) const DELETE_ORDERS_OF_USER: &str = "DELETE FROM orders WHERE user_id = ?";

/// The user's total goes with the user.
pub(crate) const DELETE_USER: &str = "DELETE FROM users WHERE id = ?";
