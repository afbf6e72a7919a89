//! Every statement of this component. Portable to MySQL 8.4 and MariaDB 10.11; money leaves as whole cents.

use store_guest::mysql::placeholders;

pub(crate) const INSERT_PRODUCT: &str =
    "INSERT INTO products (name, sku, price, written_by) VALUES (?, ?, ?, ?)";

/// By which transaction a product was written: whether it is there, for certain.
pub(crate) const PRODUCT_WRITER: &str =
    "SELECT written_by FROM products WHERE id = ? LOCK IN SHARE MODE";

/// A total of zero, so that an order only ever updates an existing row.
pub(crate) const INSERT_PRODUCT_TOTAL: &str = "INSERT INTO product_totals (product_id) VALUES (?)";

pub(crate) const PRODUCT: &str =
    "SELECT id, name, sku, CAST(price * 100 AS SIGNED) FROM products WHERE id = ?";

/// A look that locks nothing: to lock a product that is not there would lock the gap into which the next products go.
pub(crate) const PRODUCT_EXISTS: &str = "SELECT id FROM products WHERE id = ?";

/// Locks a product, for which no order is placed meanwhile.
pub(crate) const LOCK_PRODUCT: &str = "SELECT id FROM products WHERE id = ? FOR UPDATE";

/// Deletes a product, and its stock and its total with it.
pub(crate) const DELETE_PRODUCT: &str = "DELETE FROM products WHERE id = ?";

/// The product is there and stays while its stock is set.
pub(crate) const KEEP_PRODUCT: &str =
    "SELECT name, sku, CAST(price * 100 AS SIGNED) FROM products WHERE id = ? LOCK IN SHARE MODE";

/// Sets a product's stock. Comes before any look at the row: to lock one that is not there would lock the gap where it
/// goes, and two requests that both hold it could never insert theirs.
pub(crate) const SET_STOCK: &str = "INSERT INTO stocks (product_id, quantity, version, written_by) VALUES (?, ?, 1, ?) \
     ON DUPLICATE KEY UPDATE quantity = VALUES(quantity), version = version + 1, written_by = VALUES(written_by)";

/// By which transaction a stock was set last, and its version: orders change that too.
pub(crate) const STOCK_WRITER: &str =
    "SELECT written_by, version FROM stocks WHERE product_id = ? LOCK IN SHARE MODE";

/// The version of a row that the transaction has just set: 1 if it was added.
pub(crate) const SET_VERSION: &str = "SELECT version FROM stocks WHERE product_id = ?";

/// Products with their stock, or NULL where they have none.
pub(crate) fn products_with_stock(products: usize) -> String {
    format!(
        "SELECT p.id, p.name, p.sku, CAST(p.price * 100 AS SIGNED), s.quantity, s.version \
         FROM products p LEFT JOIN stocks s ON s.product_id = p.id WHERE p.id IN ({})",
        placeholders(products)
    )
}

/// One page of the overview, after the product that the last page ended with.
pub(crate) const OVERVIEW_PAGE: &str = "SELECT s.product_id, p.name, p.sku, CAST(p.price * 100 AS SIGNED), s.quantity \
     FROM stocks s JOIN products p ON p.id = s.product_id \
     WHERE s.product_id > ? ORDER BY s.product_id LIMIT ?";
