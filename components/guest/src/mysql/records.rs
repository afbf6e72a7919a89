//! Decodes the store's own records from rows. Each record says which columns a query has to select, in which order.

use spin_sdk::mysql::DbValue;
use store_domain::Cents;
use store_domain::orders::{Line, OrderItem, OrderRow};
use store_domain::stock::{StockLevel, StockedProduct};

use super::{FromRow, MysqlError, placeholders};

/// Columns: product, quantity.
impl FromRow for Line {
    fn from_row(row: Vec<DbValue>) -> Result<Self, MysqlError> {
        let (product_id, quantity) = FromRow::from_row(row)?;
        Ok(Self {
            product_id,
            quantity,
        })
    }
}

/// The columns of an [`OrderRow`], from orders `o` joined with their items `i`.
pub const ORDER_COLUMNS: &str = "o.id, o.user_id, CAST(o.total_amount * 100 AS SIGNED), \
     i.product_id, i.quantity, CAST(i.unit_price * 100 AS SIGNED)";

/// Queries `orders` orders by their ids. The [`OrderRow`]s are sorted by order.
pub fn orders_by_id(orders: usize) -> String {
    format!(
        "SELECT {ORDER_COLUMNS} FROM orders o LEFT JOIN order_items i ON i.order_id = o.id \
         WHERE o.id IN ({}) ORDER BY o.id, i.product_id",
        placeholders(orders)
    )
}

/// Columns: order, user, total; then product, quantity and price of one item, which are NULL together.
impl FromRow for OrderRow {
    fn from_row(row: Vec<DbValue>) -> Result<Self, MysqlError> {
        type Item = (Option<i64>, Option<i64>, Option<Cents>);
        let mut order = row;
        let item = order.split_off(order.len().min(3));
        let (order_id, user_id, total_amount) = FromRow::from_row(order)?;
        let (product_id, quantity, unit_price) = Item::from_row(item)?;
        let item = product_id.zip(quantity).zip(unit_price);
        Ok(Self {
            order_id,
            user_id,
            total_amount,
            item: item.map(|((product_id, quantity), unit_price)| OrderItem {
                product_id,
                quantity,
                unit_price,
            }),
        })
    }
}

/// Columns: product, quantity, version.
impl FromRow for StockLevel {
    fn from_row(row: Vec<DbValue>) -> Result<Self, MysqlError> {
        let (product_id, quantity, version) = FromRow::from_row(row)?;
        Ok(Self {
            product_id,
            quantity,
            version,
        })
    }
}

/// Columns: product, quantity, version; then name, code and price.
impl FromRow for StockedProduct {
    fn from_row(row: Vec<DbValue>) -> Result<Self, MysqlError> {
        let mut level = row;
        let product = level.split_off(level.len().min(3));
        let (name, sku, unit_price) = FromRow::from_row(product)?;
        Ok(Self {
            name,
            sku,
            unit_price,
            level: StockLevel::from_row(level)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_may_have_no_item() {
        let order = |item: [DbValue; 3]| {
            let mut row = vec![DbValue::Int64(7), DbValue::Int64(1), DbValue::Int64(200)];
            row.extend(item);
            OrderRow::from_row(row).map(|row| row.item)
        };
        let item = OrderItem {
            product_id: 5,
            quantity: 2,
            unit_price: Cents::new(100),
        };
        assert_eq!(
            order([DbValue::Int64(5), DbValue::Int64(2), DbValue::Int64(100)]),
            Ok(Some(item))
        );
        assert_eq!(
            order([DbValue::DbNull, DbValue::DbNull, DbValue::DbNull]),
            Ok(None)
        );
    }

    #[test]
    fn a_product_has_its_level_first() {
        let row = vec![
            DbValue::Int64(5),
            DbValue::Int64(-3),
            DbValue::Int64(12),
            DbValue::Str("Lamp".into()),
            DbValue::Str("LMP-1".into()),
            DbValue::Int64(4999),
        ];
        let product = StockedProduct::from_row(row).expect("it is whole");
        assert_eq!(product.level.quantity, -3);
        assert_eq!(product.unit_price, Cents::new(4999));
        assert!(StockedProduct::from_row(vec![]).is_err());
    }
}
