//! Stock: how orders change it, and how a client sets it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::orders::Order;
use crate::{Cents, StoreError, whole};

/// The largest quantity that can be set: the largest signed 32-bit integer, which is GraphQL's `Int`.
const MAX_STOCK: i64 = i32::MAX as i64;

/// The body of `POST /stocks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewStock {
    /// The product's id.
    #[serde(deserialize_with = "whole::number")]
    pub product_id: i64,
    /// The new number of pieces.
    #[serde(deserialize_with = "whole::number")]
    pub quantity: i64,
}

impl NewStock {
    /// Checks the quantity.
    ///
    /// # Errors
    /// [`StoreError::Unacceptable`] if the quantity is negative or too large.
    pub fn check(&self) -> Result<(), StoreError> {
        if (0..=MAX_STOCK).contains(&self.quantity) {
            return Ok(());
        }
        Err(StoreError::Unacceptable(format!(
            "quantity must be from 0 to {MAX_STOCK}"
        )))
    }
}

/// The stock of a product, as `GET /stocks/{product_id}` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stock {
    /// The product's id.
    pub product_id: i64,
    /// The number of pieces; below zero if more were ordered than there were.
    pub quantity: i64,
}

/// A row of `stocks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockLevel {
    /// The product's id.
    pub product_id: i64,
    /// The number of pieces.
    pub quantity: i64,
    /// Grows with each change.
    pub version: i64,
}

/// A product and its stock: what Redis holds under the product's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockedProduct {
    /// The product's name.
    pub name: String,
    /// The shop's own code for it.
    pub sku: String,
    /// The price of one piece.
    pub unit_price: Cents,
    /// The product's stock level.
    pub level: StockLevel,
}

/// Finds the orders that the stock can't satisfy. `orders` are in order of arrival; `levels` are the stock levels after
/// all of them were subtracted. An order that needs more than the orders before it have left gets an error, and its
/// pieces stay for the next order. The result has one entry for each order: `None` if the order can be placed.
pub fn shortages(orders: &[Order], levels: &[StockLevel]) -> Vec<Option<StoreError>> {
    if levels.iter().all(|level| level.quantity >= 0) {
        return vec![None; orders.len()];
    }
    let levels = levels.iter();
    let mut left: HashMap<i64, i64> = levels
        .map(|level| (level.product_id, level.quantity))
        .collect();
    for item in orders.iter().flat_map(|order| &order.items) {
        *left.entry(item.product_id).or_default() += item.quantity;
    }
    let mut take = |order: &Order| {
        let mut items = order.items.iter();
        let short = items.find(|item| left.get(&item.product_id) < Some(&item.quantity));
        if let Some(item) = short {
            return Some(StoreError::Conflict(format!(
                "insufficient stock of product {}",
                item.product_id
            )));
        }
        for item in &order.items {
            *left.entry(item.product_id).or_default() -= item.quantity;
        }
        None
    };
    orders.iter().map(&mut take).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::OrderItem;

    fn level(product_id: i64, quantity: i64) -> StockLevel {
        StockLevel {
            product_id,
            quantity,
            version: 2,
        }
    }

    fn order(lines: &[(i64, i64)]) -> Order {
        let item = |&(product_id, quantity)| OrderItem {
            product_id,
            quantity,
            unit_price: Cents::new(100),
        };
        Order {
            order_id: 1,
            user_id: 1,
            total_amount: Cents::new(100),
            items: lines.iter().map(item).collect(),
        }
    }

    fn short_of(orders: &[Order], levels: &[StockLevel]) -> Vec<bool> {
        let shortages = shortages(orders, levels);
        shortages.iter().map(Option::is_some).collect()
    }

    #[test]
    fn what_was_there_may_leave() {
        for left in [0, 3] {
            assert_eq!(short_of(&[order(&[(1, 2)])], &[level(1, left)]), [false]);
        }
    }

    #[test]
    fn the_product_that_is_short_is_named() {
        let short = shortages(&[order(&[(1, 1), (2, 3)])], &[level(1, 9), level(2, -1)]);
        let expected = StoreError::Conflict("insufficient stock of product 2".into());
        assert_eq!(short, [Some(expected)]);
    }

    #[test]
    fn who_comes_first_gets_it_and_who_gets_nothing_leaves_it_to_the_next() {
        let orders = [
            order(&[(1, 2)]),
            order(&[(1, 4)]),
            order(&[(1, 1), (2, 9)]),
            order(&[(1, 1)]),
            order(&[(1, 1)]),
        ];
        // There were 3 pieces of the first product and 5 of the second.
        let levels = [level(1, 3 - 9), level(2, 5 - 9)];
        assert_eq!(short_of(&orders, &levels), [false, true, true, false, true]);
    }

    #[test]
    fn of_what_was_owed_already_nobody_gets_any() {
        let orders = [order(&[(1, 1)]), order(&[(2, 1)])];
        assert_eq!(
            short_of(&orders, &[level(1, -3), level(2, 0)]),
            [true, false]
        );
    }

    #[test]
    fn a_quantity_out_of_range_is_refused() {
        for (quantity, fine) in [
            (0, true),
            (MAX_STOCK, true),
            (-1, false),
            (MAX_STOCK + 1, false),
        ] {
            let stock = NewStock {
                product_id: 1,
                quantity,
            };
            assert_eq!(stock.check().is_ok(), fine, "{quantity}");
        }
    }
}
