//! Orders: the client's request, its prices, the stored order, and how an order's rows are assembled.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::{Cents, StoreError, object, whole};

/// The most pieces of one product in one order: far above any real order, far below what the columns can hold.
pub const MAX_QUANTITY: i64 = 1_000_000;

/// The most different products in one order. It bounds the order's transaction and the size of its statements.
pub const MAX_LINES: usize = 500;

/// The largest amount that `orders.total_amount`, a DECIMAL(12, 2), can hold.
const MAX_TOTAL: Cents = Cents::new(999_999_999_999);

/// The body of `POST /orders`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// The user who buys.
    #[serde(deserialize_with = "whole::number")]
    pub user_id: i64,
    /// The products and quantities; the same product may occur more than once.
    #[serde(deserialize_with = "object::list")]
    pub items: Vec<Line>,
}

/// A number of pieces of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Which product.
    #[serde(deserialize_with = "whole::number")]
    pub product_id: i64,
    /// How many pieces.
    #[serde(deserialize_with = "whole::number")]
    pub quantity: i64,
}

impl NewOrder {
    /// Checks the quantities and adds up the lines of each product.
    ///
    /// # Errors
    /// [`StoreError::Unacceptable`] if there is no line, if there are too many, or if a quantity is out of range.
    pub fn into_basket(self) -> Result<Basket, StoreError> {
        let mut quantities = BTreeMap::<i64, i64>::new();
        for line in &self.items {
            let sum = quantities.entry(line.product_id).or_default();
            *sum = sum.saturating_add(line.quantity);
            if line.quantity < 1 || *sum > MAX_QUANTITY {
                return Err(StoreError::Unacceptable(format!(
                    "quantity of product {} must be from 1 to {MAX_QUANTITY}",
                    line.product_id
                )));
            }
        }
        if quantities.is_empty() {
            return Err(StoreError::Unacceptable("items must not be empty".into()));
        }
        if quantities.len() > MAX_LINES {
            return Err(StoreError::Unacceptable(format!(
                "an order may have at most {MAX_LINES} different products"
            )));
        }
        Ok(Basket {
            user_id: self.user_id,
            lines: quantities
                .into_iter()
                .map(|(product_id, quantity)| Line {
                    product_id,
                    quantity,
                })
                .collect(),
        })
    }
}

/// An order without prices: one line per product, by ascending product.
///
/// Every order locks rows by ascending product, so two orders of the same products never deadlock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basket {
    user_id: i64,
    lines: Vec<Line>,
}

impl Basket {
    /// The products, ascending.
    pub fn product_ids(&self) -> impl ExactSizeIterator<Item = i64> {
        self.lines.iter().map(|line| line.product_id)
    }

    /// The order with the prices from the database. `prices` may be in any order.
    ///
    /// # Errors
    /// [`StoreError::Unacceptable`] if a product has no price (it does not exist), or if the total is too large.
    pub fn priced(&self, prices: &[(i64, Cents)]) -> Result<PricedOrder, StoreError> {
        let prices: HashMap<i64, Cents> = prices.iter().copied().collect();
        let mut total_amount = Some(Cents::ZERO);
        let mut items = Vec::with_capacity(self.lines.len());
        for &Line {
            product_id,
            quantity,
        } in &self.lines
        {
            let unit_price = *prices
                .get(&product_id)
                .ok_or_else(|| StoreError::Unacceptable(format!("unknown product {product_id}")))?;
            total_amount = total_amount
                .zip(unit_price.checked_mul(quantity))
                .and_then(|(total, amount)| total.checked_add(amount));
            items.push(OrderItem {
                product_id,
                quantity,
                unit_price,
            });
        }
        match total_amount {
            Some(total_amount) if total_amount <= MAX_TOTAL => Ok(PricedOrder {
                user_id: self.user_id,
                total_amount,
                items,
            }),
            _ => Err(StoreError::Unacceptable(format!(
                "the total must be at most {MAX_TOTAL}"
            ))),
        }
    }
}

/// An order that is ready to be stored. It has no id yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedOrder {
    /// The user who buys.
    pub user_id: i64,
    /// The sum of all items.
    pub total_amount: Cents,
    /// One item per product, by ascending product.
    pub items: Vec<OrderItem>,
}

impl PricedOrder {
    /// The order with the id that the database gave it.
    pub fn numbered(self, order_id: i64) -> Order {
        Order {
            order_id,
            user_id: self.user_id,
            total_amount: self.total_amount,
            items: self.items,
        }
    }
}

/// One product of an order, with its price at that time. Redis holds a list of these as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderItem {
    /// Which product.
    pub product_id: i64,
    /// How many pieces.
    pub quantity: i64,
    /// The price of one piece at the time of the order.
    pub unit_price: Cents,
}

impl OrderItem {
    /// The item without its price.
    pub fn line(&self) -> Line {
        Line {
            product_id: self.product_id,
            quantity: self.quantity,
        }
    }
}

/// A stored order, as `GET /orders/{id}` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    /// The order's number.
    pub order_id: i64,
    /// The user who bought.
    pub user_id: i64,
    /// The sum of all items.
    pub total_amount: Cents,
    /// One item per product, by ascending product.
    pub items: Vec<OrderItem>,
}

/// One row of orders joined with their items. The order's columns repeat in each of its rows; an order without items
/// has one row without an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// The order's number.
    pub order_id: i64,
    /// The user who bought.
    pub user_id: i64,
    /// The order's total.
    pub total_amount: Cents,
    /// The row's item, if it has one.
    pub item: Option<OrderItem>,
}

/// Assembles orders from rows that are sorted by order.
pub fn assemble(rows: impl IntoIterator<Item = OrderRow>) -> Vec<Order> {
    let mut orders: Vec<Order> = Vec::new();
    for row in rows {
        match orders.last_mut() {
            Some(order) if order.order_id == row.order_id => order.items.extend(row.item),
            _ => orders.push(Order {
                order_id: row.order_id,
                user_id: row.user_id,
                total_amount: row.total_amount,
                items: row.item.into_iter().collect(),
            }),
        }
    }
    orders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basket(items: &[(i64, i64)]) -> Result<Basket, StoreError> {
        let items = items
            .iter()
            .map(|&(product_id, quantity)| Line {
                product_id,
                quantity,
            })
            .collect();
        NewOrder { user_id: 1, items }.into_basket()
    }

    fn assert_unacceptable<T: std::fmt::Debug>(result: Result<T, StoreError>, text: &str) {
        match result {
            Err(StoreError::Unacceptable(detail)) => assert!(detail.contains(text), "{detail}"),
            other => panic!("expected a refusal with {text:?}, got {other:?}"),
        }
    }

    #[test]
    fn the_same_product_twice_is_one_line() {
        let order = basket(&[(7, 2), (3, 1), (7, 3)])
            .and_then(|basket| basket.priced(&[(7, Cents::new(1050)), (3, Cents::new(1))]))
            .expect("it is valid");
        assert_eq!(order.total_amount, Cents::new(5251));
        let lines: Vec<_> = order.items.iter().map(OrderItem::line).collect();
        assert_eq!(
            lines,
            [
                Line {
                    product_id: 3,
                    quantity: 1
                },
                Line {
                    product_id: 7,
                    quantity: 5
                }
            ]
        );
    }

    #[test]
    fn an_order_of_nothing_is_refused() {
        assert_unacceptable(basket(&[]), "empty");
    }

    #[test]
    fn a_quantity_out_of_range_is_refused() {
        for quantity in [0, -1, i64::MIN, MAX_QUANTITY + 1, i64::MAX] {
            assert_unacceptable(basket(&[(1, quantity)]), "quantity of product 1");
        }
        assert_unacceptable(basket(&[(1, MAX_QUANTITY), (1, 1)]), "quantity");
        assert_unacceptable(basket(&[(1, 5), (1, -4)]), "quantity");
        assert!(basket(&[(1, MAX_QUANTITY)]).is_ok());
    }

    #[test]
    fn too_many_products_are_refused() {
        let items: Vec<_> = (1..=501).map(|id| (id, 1)).collect();
        assert_unacceptable(basket(&items), "500 different products");
        assert!(basket(&items[..500]).is_ok());
    }

    #[test]
    fn an_unknown_product_is_refused() {
        let basket = basket(&[(1, 1), (2, 1)]).expect("it is valid");
        assert_unacceptable(basket.priced(&[(1, Cents::new(1))]), "unknown product 2");
    }

    #[test]
    fn a_total_that_the_database_cannot_hold_is_refused() {
        let price = Cents::new(9_999_999_999);
        assert!(
            basket(&[(1, 100)])
                .and_then(|basket| basket.priced(&[(1, price)]))
                .is_ok()
        );
        for quantity in [101, MAX_QUANTITY] {
            let order = basket(&[(1, quantity)]).and_then(|basket| basket.priced(&[(1, price)]));
            assert_unacceptable(order, "total");
        }
    }

    #[test]
    fn only_the_fields_of_an_order_are_read() {
        for body in [
            r#"{"user_id":1,"items":[],"price":1}"#,
            r#"{"user_id":1,"items":[{"product_id":1,"quantity":1,"unit_price":0.01}]}"#,
            r#"{"user_id":1,"items":[{"product_id":1,"quantity":1.5}]}"#,
            r#"{"user_id":"1","items":[]}"#,
            r#"{"user_id":9223372036854775808,"items":[]}"#,
            r#"{"items":[]}"#,
        ] {
            assert!(serde_json::from_str::<NewOrder>(body).is_err(), "{body}");
        }
    }

    #[test]
    fn rows_of_one_order_become_one_order() {
        let item = |product_id| OrderItem {
            product_id,
            quantity: 1,
            unit_price: Cents::new(100),
        };
        let row = |order_id, item| OrderRow {
            order_id,
            user_id: 9,
            total_amount: Cents::new(200),
            item,
        };
        let orders = assemble([row(1, Some(item(4))), row(1, Some(item(5))), row(2, None)]);
        assert_eq!(orders.len(), 2);
        assert_eq!(orders[0].items, [item(4), item(5)]);
        assert_eq!(orders[1].items, []);
    }

    #[test]
    fn an_order_answers_in_the_contracts_words() {
        let order = basket(&[(1, 2)])
            .and_then(|basket| basket.priced(&[(1, Cents::new(199_999))]))
            .expect("it is valid")
            .numbered(7);
        assert_eq!(
            serde_json::to_string(&order).expect("an order is JSON"),
            r#"{"order_id":7,"user_id":1,"total_amount":3999.98,"items":[{"product_id":1,"quantity":2,"unit_price":1999.99}]}"#
        );
    }
}
