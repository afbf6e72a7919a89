//! What placing and deleting orders changes besides the orders themselves: stock, report totals, Redis.

use std::collections::BTreeMap;

use crate::Cents;
use crate::orders::{Line, Order};

/// How one or more orders change the stock and the users' totals. The numbers are negative where orders are deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    /// Pieces sold, by ascending product; each product once.
    pub lines: Vec<Line>,
    /// Each buyer with the amount spent, by ascending user; each user once.
    pub buyers: Vec<(i64, Cents)>,
}

impl Sale {
    /// What placing `orders` changes.
    pub fn of<'a>(orders: impl IntoIterator<Item = &'a Order>) -> Self {
        let mut pieces = BTreeMap::<i64, i64>::new();
        let mut expenses = BTreeMap::<i64, Cents>::new();
        for order in orders {
            for item in &order.items {
                *pieces.entry(item.product_id).or_default() += item.quantity;
            }
            let expense = expenses.entry(order.user_id).or_insert(Cents::ZERO);
            *expense = [*expense, order.total_amount].into_iter().sum();
        }
        let line = |(product_id, quantity)| Line {
            product_id,
            quantity,
        };
        Self {
            lines: pieces.into_iter().map(line).collect(),
            buyers: expenses.into_iter().collect(),
        }
    }

    /// What deleting orders of one user changes, given their total amount and their lines added up per product.
    pub fn undone(user_id: i64, total_amount: Cents, lines: Vec<Line>) -> Self {
        let buyers = vec![(user_id, total_amount)];
        Self { lines, buyers }.reversed()
    }

    /// The same sale with every number negated: what deleting the orders changes.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        for line in &mut self.lines {
            line.quantity = -line.quantity;
        }
        for (_, expense) in &mut self.buyers {
            *expense = -*expense;
        }
        self
    }
}

/// A kind of thing that Redis holds as a copy of MySQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// An order's hash.
    Order,
    /// A product's stock hash.
    Product,
}

/// An order or a stock level that a transaction changes. Redis must not show it until the transaction has committed.
pub type Subject = (Entity, i64);

/// What a transaction changed that placed or deleted `orders` and moved the stock of `lines`.
pub fn changed(orders: &[i64], lines: &[Line]) -> Vec<Subject> {
    let orders = orders.iter().map(|&id| (Entity::Order, id));
    let products = lines.iter().map(|line| (Entity::Product, line.product_id));
    orders.chain(products).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::OrderItem;

    fn order(order_id: i64, user_id: i64, lines: &[(i64, i64)]) -> Order {
        let item = |&(product_id, quantity)| OrderItem {
            product_id,
            quantity,
            unit_price: Cents::new(100),
        };
        Order {
            order_id,
            user_id,
            total_amount: Cents::new(500),
            items: lines.iter().map(item).collect(),
        }
    }

    fn lines(sale: &Sale) -> Vec<(i64, i64)> {
        let lines = sale.lines.iter();
        lines.map(|line| (line.product_id, line.quantity)).collect()
    }

    #[test]
    fn orders_are_added_up_for_each_product_and_user() {
        let orders = [
            order(1, 9, &[(4, 4)]),
            order(2, 8, &[(3, 1)]),
            order(3, 9, &[(3, 2), (5, 1)]),
        ];
        let sale = Sale::of(&orders);
        assert_eq!(lines(&sale), [(3, 3), (4, 4), (5, 1)]);
        assert_eq!(sale.buyers, [(8, Cents::new(500)), (9, Cents::new(1000))]);
    }

    #[test]
    fn undoing_an_order_is_the_opposite_of_placing_it() {
        let placed = Sale::of([&order(7, 9, &[(3, 1), (4, 4)])]);
        let undone = Sale::undone(9, Cents::new(500), placed.lines.clone());
        assert_eq!(lines(&undone), [(3, -1), (4, -4)]);
        assert_eq!(undone.buyers, [(9, Cents::new(-500))]);
        assert_eq!(placed.reversed(), undone);
    }

    #[test]
    fn an_order_changes_itself_and_its_products() {
        assert_eq!(
            changed(&[7], &Sale::of([&order(7, 9, &[(3, 1), (4, 4)])]).lines),
            [
                (Entity::Order, 7),
                (Entity::Product, 3),
                (Entity::Product, 4)
            ]
        );
    }
}
