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

impl Entity {
    /// Its name in `cache_changes.entity`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Product => "product",
        }
    }

    /// The entity that `cache_changes.entity` names.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Order, Self::Product]
            .into_iter()
            .find(|entity| entity.name() == name)
    }
}

/// Something that a transaction changed, and that Redis may not show yet.
pub type Changed = (Entity, i64);

/// What a transaction changed that placed or undid `orders`, and moved the stock of `lines`.
pub fn changed(orders: &[i64], lines: &[Line]) -> Vec<Changed> {
    let orders = orders.iter().map(|&id| (Entity::Order, id));
    let products = lines.iter().map(|line| (Entity::Product, line.product_id));
    orders.chain(products).collect()
}

/// A set of `cache_changes` rows in a few bytes, to tell whether anything changed since the reports were made.
///
/// Ids are given out once and rows only ever come and go, so sets of the same count, sum and largest id are the same
/// for this purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fingerprint {
    count: u64,
    sum: u64,
    max: i64,
}

impl Fingerprint {
    /// Adds a row.
    pub fn add(&mut self, id: i64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add_signed(id);
        self.max = self.max.max(id);
    }
}

impl FromIterator<i64> for Fingerprint {
    fn from_iter<I: IntoIterator<Item = i64>>(ids: I) -> Self {
        let mut fingerprint = Self::default();
        for id in ids {
            fingerprint.add(id);
        }
        fingerprint
    }
}

/// The fingerprint as Redis holds it.
impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.count, self.sum, self.max)
    }
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

    #[test]
    fn an_entity_is_known_by_its_name() {
        for entity in [Entity::Order, Entity::Product] {
            assert_eq!(Entity::from_name(entity.name()), Some(entity));
        }
        assert_eq!(Entity::from_name("user"), None);
    }

    #[test]
    fn a_fingerprint_tells_sets_of_rows_apart() {
        let of = |ids: &[i64]| ids.iter().copied().collect::<Fingerprint>();
        assert_eq!(of(&[3, 5]), of(&[5, 3]));
        for other in [&[][..], &[5], &[3, 5, 6], &[4, 5], &[2, 6]] {
            assert_ne!(of(&[3, 5]), of(other), "{other:?}");
        }
        assert_eq!(of(&[3, 5]).to_string(), "2:8:5");
    }
}
