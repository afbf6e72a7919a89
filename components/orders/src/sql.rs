//! All statements of this component. They are portable to MySQL 8.4 and MariaDB 10.11 and return money in whole cents.
//!
//! A transaction locks whatever it reads and relies on, so that no decision rests on an old snapshot. Both servers
//! accept the forms `LOCK IN SHARE MODE` and `VALUES(column)`.

use store_guest::mysql::{placeholders, row_placeholders};

/// Prices, locked so that no product is deleted before its order is inserted; the foreign key would take the same lock.
pub(crate) fn prices(products: usize) -> String {
    format!(
        "SELECT id, CAST(price * 100 AS SIGNED) FROM products WHERE id IN ({}) ORDER BY id LOCK IN SHARE MODE",
        placeholders(products)
    )
}

/// The users that exist, locked as the foreign key locks them.
pub(crate) fn users(users: usize) -> String {
    format!(
        "SELECT id FROM users WHERE id IN ({}) ORDER BY id LOCK IN SHARE MODE",
        placeholders(users)
    )
}

pub(crate) fn insert_orders(orders: usize) -> String {
    format!(
        "INSERT INTO orders (user_id, total_amount, written_by) VALUES {}",
        row_placeholders("(?, ?, ?)", orders)
    )
}

/// The distance between the ids that one INSERT of several rows gets: name and value. Our host would take a SELECT of
/// the variable for a change of the session.
pub(crate) const ID_INCREMENT: &str = "SHOW VARIABLES LIKE 'auto_increment_increment'";

/// The token of the transaction that wrote an order: a locking read, so that it shows for certain whether the order
/// exists.
pub(crate) const ORDER_WRITER: &str =
    "SELECT written_by FROM orders WHERE id = ? LOCK IN SHARE MODE";

pub(crate) fn insert_items(items: usize) -> String {
    format!(
        "INSERT INTO order_items (order_id, product_id, quantity, unit_price) VALUES {}",
        row_placeholders("(?, ?, ?, ?)", items)
    )
}

/// Checks without a lock: locking an order that does not exist would lock the gap into which the next orders go.
pub(crate) const ORDER_EXISTS: &str = "SELECT id FROM orders WHERE id = ?";

/// Locks orders that are to be deleted. If the table is small, the server would read and lock every row instead of
/// looking each one up; `FORCE INDEX` prevents that.
pub(crate) fn lock_orders(orders: usize) -> String {
    format!(
        "SELECT id, user_id, CAST(total_amount * 100 AS SIGNED) FROM orders FORCE INDEX (PRIMARY) \
         WHERE id IN ({}) ORDER BY id FOR UPDATE",
        placeholders(orders)
    )
}

/// How many pieces of each product the orders had.
pub(crate) fn lock_lines(orders: usize) -> String {
    format!(
        "SELECT product_id, CAST(SUM(quantity) AS SIGNED) \
         FROM order_items FORCE INDEX (order_items_order_product) WHERE order_id IN ({}) \
         GROUP BY product_id ORDER BY product_id LOCK IN SHARE MODE",
        placeholders(orders)
    )
}

/// Deletes orders together with their items. A single-table DELETE takes no index hint; the `LIMIT` makes the server
/// use the primary key.
pub(crate) fn delete_orders(orders: usize) -> String {
    format!(
        "DELETE FROM orders WHERE id IN ({}) ORDER BY id LIMIT {orders}",
        placeholders(orders)
    )
}

/// Moves stock, and locks its rows by ascending product. A row of zero pieces changes nothing. This comes before any
/// read of the rows: locking rows that do not exist yet would lock the gap where they go, and two orders that both hold
/// that gap could never insert theirs.
pub(crate) fn add_to_stock(products: usize) -> String {
    format!(
        "INSERT INTO stocks (product_id, quantity, version) VALUES {} \
         ON DUPLICATE KEY UPDATE quantity = quantity + VALUES(quantity), \
         version = version + (VALUES(quantity) <> 0)",
        row_placeholders("(?, ?, 1)", products)
    )
}

/// The tokens of the transactions that wrote some orders. A locking read, which waits until a lost connection's session
/// has ended. It uses the primary key as [`lock_orders`] does: reading all rows would wait for every other transaction.
pub(crate) fn writers(orders: usize) -> String {
    format!(
        "SELECT id, COALESCE(written_by, 0) FROM orders FORCE INDEX (PRIMARY) WHERE id IN ({}) LOCK IN SHARE MODE",
        placeholders(orders)
    )
}

/// Deletes stock rows that the same transaction has added.
pub(crate) fn delete_stock(products: usize) -> String {
    format!(
        "DELETE FROM stocks WHERE product_id IN ({}) ORDER BY product_id LIMIT {products}",
        placeholders(products)
    )
}

pub(crate) fn add_to_product_totals(products: usize) -> String {
    format!(
        "INSERT INTO product_totals (product_id, quantity_sold) VALUES {} \
         ON DUPLICATE KEY UPDATE quantity_sold = quantity_sold + VALUES(quantity_sold)",
        row_placeholders("(?, ?)", products)
    )
}

pub(crate) fn add_to_user_totals(users: usize) -> String {
    format!(
        "INSERT INTO user_totals (user_id, total_expense) VALUES {} \
         ON DUPLICATE KEY UPDATE total_expense = total_expense + VALUES(total_expense)",
        row_placeholders("(?, ?)", users)
    )
}

pub(crate) const INSERT_USER: &str = "INSERT INTO users (name, email, written_by) VALUES (?, ?, ?)";

/// The token of the transaction that wrote a user: a locking read, so that it shows for certain whether the user
/// exists.
pub(crate) const USER_WRITER: &str = "SELECT written_by FROM users WHERE id = ? LOCK IN SHARE MODE";

/// Inserts a total of zero, so that an order only ever updates an existing row.
pub(crate) const INSERT_USER_TOTAL: &str = "INSERT INTO user_totals (user_id) VALUES (?)";

pub(crate) const USER: &str = "SELECT id, name, email FROM users WHERE id = ?";

/// Checks without a lock, as [`ORDER_EXISTS`] does.
pub(crate) const USER_EXISTS: &str = "SELECT id FROM users WHERE id = ?";

/// Locks a user, who then can't place orders.
pub(crate) const LOCK_USER: &str = "SELECT id FROM users WHERE id = ? FOR UPDATE";

/// The first 100 orders of a user, each with its number of lines. Takes no lock: the lock behind the last order would
/// block other users' orders.
pub(crate) const SOME_ORDERS_OF_USER: &str = "SELECT o.id, \
     (SELECT COUNT(*) FROM order_items i WHERE i.order_id = o.id) \
     FROM orders o FORCE INDEX (orders_user) WHERE o.user_id = ? ORDER BY o.id LIMIT 100";

/// Deletes a user together with the user's total.
pub(crate) const DELETE_USER: &str = "DELETE FROM users WHERE id = ?";
