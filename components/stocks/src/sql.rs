//! All statements of this component. They are portable to MySQL 8.4 and MariaDB 10.11 and return money in whole cents.

use store_guest::mysql::placeholders;

pub(crate) const INSERT_PRODUCT: &str =
    "INSERT INTO products (name, sku, price, written_by) VALUES (?, ?, ?, ?)";

/// The token of the transaction that wrote a product: a locking read, so that it shows for certain whether the product
/// exists.
pub(crate) const PRODUCT_WRITER: &str =
    "SELECT written_by FROM products WHERE id = ? LOCK IN SHARE MODE";

/// Inserts a total of zero, so that an order only ever updates an existing row.
pub(crate) const INSERT_PRODUCT_TOTAL: &str = "INSERT INTO product_totals (product_id) VALUES (?)";

pub(crate) const PRODUCT: &str =
    "SELECT id, name, sku, CAST(price * 100 AS SIGNED) FROM products WHERE id = ?";

/// Checks without a lock: locking a product that does not exist would lock the gap into which the next products go.
pub(crate) const PRODUCT_EXISTS: &str = "SELECT id FROM products WHERE id = ?";

/// Locks a product, so that no order for it is placed meanwhile.
pub(crate) const LOCK_PRODUCT: &str = "SELECT id FROM products WHERE id = ? FOR UPDATE";

/// Deletes a product together with its stock and its total.
pub(crate) const DELETE_PRODUCT: &str = "DELETE FROM products WHERE id = ?";

/// Reads a product and keeps it from being deleted while its stock is set.
pub(crate) const KEEP_PRODUCT: &str =
    "SELECT name, sku, CAST(price * 100 AS SIGNED) FROM products WHERE id = ? LOCK IN SHARE MODE";

/// Sets a product's stock. This comes before any read of the row: locking a row that does not exist would lock the gap
/// where it goes, and two requests that both hold that gap could never insert theirs.
pub(crate) const SET_STOCK: &str = "INSERT INTO stocks (product_id, quantity, version, written_by) VALUES (?, ?, 1, ?) \
     ON DUPLICATE KEY UPDATE quantity = VALUES(quantity), version = version + 1, written_by = VALUES(written_by)";

/// The token of the transaction that set a stock last, and the stock's version, which orders change too.
pub(crate) const STOCK_WRITER: &str =
    "SELECT written_by, version FROM stocks WHERE product_id = ? LOCK IN SHARE MODE";

/// The version of the row that the transaction has just set: 1 if the row was added.
pub(crate) const SET_VERSION: &str = "SELECT version FROM stocks WHERE product_id = ?";

/// Products with their stock; the stock's columns are NULL if there is none.
pub(crate) fn products_with_stock(products: usize) -> String {
    format!(
        "SELECT p.id, p.name, p.sku, CAST(p.price * 100 AS SIGNED), s.quantity, s.version \
         FROM products p LEFT JOIN stocks s ON s.product_id = p.id WHERE p.id IN ({})",
        placeholders(products)
    )
}

/// One page of the overview, after the last product of the previous page.
pub(crate) const OVERVIEW_PAGE: &str = "SELECT s.product_id, p.name, p.sku, CAST(p.price * 100 AS SIGNED), s.quantity \
     FROM stocks s JOIN products p ON p.id = s.product_id \
     WHERE s.product_id > ? ORDER BY s.product_id LIMIT ?";
