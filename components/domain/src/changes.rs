//! What placing and undoing orders changes besides the orders themselves: stock, report totals, Redis.

use crate::Cents;
use crate::orders::{Line, PricedOrder};

/// What a user and the stock owe to one or more orders. Negative where orders are undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    /// Pieces sold, by ascending product; each product once.
    pub lines: Vec<Line>,
    /// Who bought, and for how much.
    pub buyer: (i64, Cents),
}

impl Sale {
    /// What placing `order` changes.
    pub fn of(order: &PricedOrder) -> Self {
        Self {
            lines: order.items.iter().map(|item| item.line()).collect(),
            buyer: (order.user_id, order.total_amount),
        }
    }

    /// What deleting orders of a user changes, given their total and their lines added up for each product.
    pub fn undone(user_id: i64, total_amount: Cents, lines: Vec<Line>) -> Self {
        Self {
            lines: negated(lines),
            buyer: (user_id, -total_amount),
        }
    }
}

fn negated(mut lines: Vec<Line>) -> Vec<Line> {
    for line in &mut lines {
        line.quantity = -line.quantity;
    }
    lines
}

/// A thing in Redis that has to follow MySQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// An order's hash.
    Order,
    /// A product's stock hash.
    Product,
}

/// Something that a transaction changes, and that Redis must not show until it has.
pub type Changed = (Entity, i64);

/// What a transaction changed that placed or undid `orders`, and moved the stock of `lines`.
pub fn changed(orders: &[i64], lines: &[Line]) -> Vec<Changed> {
    let orders = orders.iter().map(|&id| (Entity::Order, id));
    let products = lines.iter().map(|line| (Entity::Product, line.product_id));
    orders.chain(products).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::OrderItem;

    fn order() -> PricedOrder {
        let item = |product_id, quantity| OrderItem {
            product_id,
            quantity,
            unit_price: Cents::new(100),
        };
        PricedOrder {
            user_id: 9,
            total_amount: Cents::new(500),
            items: vec![item(3, 1), item(4, 4)],
        }
    }

    #[test]
    fn undoing_an_order_is_the_opposite_of_placing_it() {
        let placed = Sale::of(&order());
        let undone = Sale::undone(9, Cents::new(500), placed.lines.clone());
        assert_eq!(placed.buyer, (9, Cents::new(500)));
        assert_eq!(undone.buyer, (9, Cents::new(-500)));
        for (taken, given) in placed.lines.iter().zip(&undone.lines) {
            assert_eq!(taken.product_id, given.product_id);
            assert_eq!(taken.quantity + given.quantity, 0);
        }
    }

    #[test]
    fn an_order_changes_itself_and_its_products() {
        assert_eq!(
            changed(&[7], &Sale::of(&order()).lines),
            [
                (Entity::Order, 7),
                (Entity::Product, 3),
                (Entity::Product, 4)
            ]
        );
    }
}
