//! Every statement of this component. Portable to MySQL 8.4 and MariaDB 10.11; money leaves as whole cents.

use store_guest::mysql::placeholders;

pub(crate) const INSERT_PRODUCT: &str = "INSERT INTO products (name, sku, price) VALUES (?, ?, ?)";

/// A total of zero, so that an order only ever updates an existing row.
pub(crate) const INSERT_PRODUCT_TOTAL: &str = "INSERT INTO product_totals (product_id) VALUES (?)";

pub(crate) const PRODUCT: &str =
    "SELECT id, name, sku, CAST(price * 100 AS SIGNED) FROM products WHERE id = ?";

/// While it is locked, no order is placed for the product.
pub(crate) const LOCK_PRODUCT: &str = "SELECT id FROM products WHERE id = ? FOR UPDATE";

/// Its stock and its total go with it.
pub(crate) const DELETE_PRODUCT: &str = "DELETE FROM products WHERE id = ?";

/// The product is there and stays while its stock is set.
pub(crate) const KEEP_PRODUCT: &str =
    "SELECT name, sku, CAST(price * 100 AS SIGNED) FROM products WHERE id = ? LOCK IN SHARE MODE";

pub(crate) const LOCK_STOCK: &str = "SELECT version FROM stocks WHERE product_id = ? FOR UPDATE";

pub(crate) const SET_STOCK: &str = "INSERT INTO stocks (product_id, quantity, version) VALUES (?, ?, 1) \
     ON DUPLICATE KEY UPDATE quantity = VALUES(quantity), version = version + 1";

/// Products with their stock, or NULL where they have none.
pub(crate) fn products_with_stock(products: usize) -> String {
    format!(
        "SELECT p.id, p.name, p.sku, CAST(p.price * 100 AS SIGNED), s.quantity, s.version \
         FROM products p LEFT JOIN stocks s ON s.product_id = p.id WHERE p.id IN ({})",
        placeholders(products)
    )
}

pub(crate) const OVERVIEW: &str = "SELECT p.name, p.sku, CAST(p.price * 100 AS SIGNED), s.quantity \
     FROM stocks s JOIN products p ON p.id = s.product_id ORDER BY s.product_id";
