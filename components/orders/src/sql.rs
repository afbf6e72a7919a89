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

/// Which users there are, locked as the foreign key locks them.
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

/// How far the ids lie apart that one INSERT of several rows gives out: name and value. As a SELECT of the variable it
/// would count as a change of the session.
pub(crate) const ID_INCREMENT: &str = "SHOW VARIABLES LIKE 'auto_increment_increment'";

/// By which transaction an order was written: whether it is there, for certain.
pub(crate) const ORDER_WRITER: &str =
    "SELECT written_by FROM orders WHERE id = ? LOCK IN SHARE MODE";

pub(crate) fn insert_items(items: usize) -> String {
    format!(
        "INSERT INTO order_items (order_id, product_id, quantity, unit_price) VALUES {}",
        row_placeholders("(?, ?, ?, ?)", items)
    )
}

/// A look that locks nothing: to lock an order that is not there would lock the gap into which the next orders go.
pub(crate) const ORDER_EXISTS: &str = "SELECT id FROM orders WHERE id = ?";

/// Locks orders that are to be deleted. Of a small table the server would rather read, and lock, every row than look
/// each one up, unless told otherwise.
pub(crate) fn lock_orders(orders: usize) -> String {
    format!(
        "SELECT id, user_id, CAST(total_amount * 100 AS SIGNED) FROM orders FORCE INDEX (PRIMARY) \
         WHERE id IN ({}) ORDER BY id FOR UPDATE",
        placeholders(orders)
    )
}

/// What the orders took of each product.
pub(crate) fn lock_lines(orders: usize) -> String {
    format!(
        "SELECT product_id, CAST(SUM(quantity) AS SIGNED) \
         FROM order_items FORCE INDEX (order_items_order_product) WHERE order_id IN ({}) \
         GROUP BY product_id ORDER BY product_id LOCK IN SHARE MODE",
        placeholders(orders)
    )
}

/// Deletes orders, and their items with them. A single-table DELETE takes no hint: the limit makes the server go by the
/// primary key.
pub(crate) fn delete_orders(orders: usize) -> String {
    format!(
        "DELETE FROM orders WHERE id IN ({}) ORDER BY id LIMIT {orders}",
        placeholders(orders)
    )
}

/// Moves stock, and locks its rows by ascending product. A row of zero pieces changes nothing. It comes before any look at them: to lock rows that are not
/// there yet would lock the gap where they go, and two orders that both hold it could never insert theirs.
pub(crate) fn add_to_stock(products: usize) -> String {
    format!(
        "INSERT INTO stocks (product_id, quantity, version) VALUES {} \
         ON DUPLICATE KEY UPDATE quantity = quantity + VALUES(quantity), \
         version = version + (VALUES(quantity) <> 0)",
        row_placeholders("(?, ?, 1)", products)
    )
}

/// Which transactions wrote some orders: a locking read, which waits until whatever a lost connection left behind has
/// ended. By the primary key, as [`lock_orders`]: to read all rows would be to wait for everybody.
pub(crate) fn writers(orders: usize) -> String {
    format!(
        "SELECT id, COALESCE(written_by, 0) FROM orders FORCE INDEX (PRIMARY) WHERE id IN ({}) LOCK IN SHARE MODE",
        placeholders(orders)
    )
}

/// Stock rows that the transaction has added.
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

/// By which transaction a user was written: whether it is there, for certain.
pub(crate) const USER_WRITER: &str = "SELECT written_by FROM users WHERE id = ? LOCK IN SHARE MODE";

/// A total of zero, so that an order only ever updates an existing row.
pub(crate) const INSERT_USER_TOTAL: &str = "INSERT INTO user_totals (user_id) VALUES (?)";

pub(crate) const USER: &str = "SELECT id, name, email FROM users WHERE id = ?";

/// A look that locks nothing, as [`ORDER_EXISTS`].
pub(crate) const USER_EXISTS: &str = "SELECT id FROM users WHERE id = ?";

/// Locks a user, who places no order meanwhile.
pub(crate) const LOCK_USER: &str = "SELECT id FROM users WHERE id = ? FOR UPDATE";

/// The first of a user's orders, each with how many lines it has. It locks nothing: the lock behind the last one would keep
/// other users' orders out.
pub(crate) const SOME_ORDERS_OF_USER: &str = "SELECT o.id, \
     (SELECT COUNT(*) FROM order_items i WHERE i.order_id = o.id) \
     FROM orders o FORCE INDEX (orders_user) WHERE o.user_id = ? ORDER BY o.id LIMIT 100";

/// Deletes a user, and the user's total with it.
pub(crate) const DELETE_USER: &str = "DELETE FROM users WHERE id = ?";
