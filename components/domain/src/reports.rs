//! The two sales reports: their lines, and how to compute them from single orders.

use std::collections::HashMap;
use std::hash::Hash;

use serde::Serialize;

use crate::Cents;
use crate::orders::Order;

/// How many users or products a report shows.
pub const TOP: usize = 10;

/// The two reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The users who spent most.
    HighestSpenders,
    /// The products of which most pieces were sold.
    BestSellers,
}

impl Report {
    /// Both reports.
    pub const ALL: [Self; 2] = [Self::HighestSpenders, Self::BestSellers];
}

/// A line of `GET /orders/reports/highest-spenders`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spender {
    /// The user's id.
    pub user_id: i64,
    /// The sum of all the user's orders.
    pub total_expense: Cents,
}

/// A line of `GET /orders/reports/best-sellers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BestSeller {
    /// The product's id.
    pub product_id: i64,
    /// How many pieces of the product were ordered.
    pub quantity_sold: i64,
}

/// The totals of both reports, added up order by order.
#[derive(Debug, Default)]
pub struct Tally {
    expenses: HashMap<i64, Cents>,
    pieces: HashMap<i64, i64>,
}

impl Tally {
    /// Adds an order.
    pub fn add(&mut self, order: &Order) {
        let expense = self.expenses.entry(order.user_id).or_default();
        // 64 bits hold any sum that the store will see; the column, DECIMAL(20, 2), holds as much.
        *expense = Cents::new(expense.get().saturating_add(order.total_amount.get()));
        for item in &order.items {
            let pieces = self.pieces.entry(item.product_id).or_default();
            *pieces = pieces.saturating_add(item.quantity);
        }
    }

    /// The [`TOP`] users who spent most.
    pub fn highest_spenders(&self) -> Vec<Spender> {
        top(&self.expenses, Cents::ZERO)
            .map(|(user_id, total_expense)| Spender {
                user_id,
                total_expense,
            })
            .collect()
    }

    /// The [`TOP`] products of which most pieces were sold.
    pub fn best_sellers(&self) -> Vec<BestSeller> {
        top(&self.pieces, 0)
            .map(|(product_id, quantity_sold)| BestSeller {
                product_id,
                quantity_sold,
            })
            .collect()
    }
}

/// The [`TOP`] largest totals above `zero`, sorted by total, then by id.
fn top<K, V>(totals: &HashMap<K, V>, zero: V) -> impl Iterator<Item = (K, V)>
where
    K: Copy + Eq + Hash + Ord,
    V: Copy + Ord,
{
    let mut ranked: Vec<(K, V)> = totals
        .iter()
        .map(|(&id, &total)| (id, total))
        .filter(|&(_, total)| total > zero)
        .collect();
    ranked
        .sort_unstable_by(|(id, total), (other_id, other)| other.cmp(total).then(id.cmp(other_id)));
    ranked.into_iter().take(TOP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::OrderItem;

    fn order(user_id: i64, cents: i64, items: &[(i64, i64)]) -> Order {
        Order {
            order_id: 1,
            user_id,
            total_amount: Cents::new(cents),
            items: items
                .iter()
                .map(|&(product_id, quantity)| OrderItem {
                    product_id,
                    quantity,
                    unit_price: Cents::new(100),
                })
                .collect(),
        }
    }

    #[test]
    fn totals_add_up_over_orders() {
        let mut tally = Tally::default();
        tally.add(&order(1, 300, &[(5, 3)]));
        tally.add(&order(2, 900, &[(6, 8), (5, 1)]));
        tally.add(&order(1, 700, &[(5, 7)]));
        assert_eq!(
            serde_json::to_string(&tally.highest_spenders()).expect("a report is JSON"),
            r#"[{"user_id":1,"total_expense":10.0},{"user_id":2,"total_expense":9.0}]"#
        );
        assert_eq!(
            serde_json::to_string(&tally.best_sellers()).expect("a report is JSON"),
            r#"[{"product_id":5,"quantity_sold":11},{"product_id":6,"quantity_sold":8}]"#
        );
    }

    #[test]
    fn ten_are_shown_and_equals_go_by_id() {
        let mut tally = Tally::default();
        for user_id in (1..=20).rev() {
            tally.add(&order(user_id, 100, &[(user_id, 1)]));
        }
        let users: Vec<_> = tally
            .highest_spenders()
            .iter()
            .map(|spender| spender.user_id)
            .collect();
        assert_eq!(users, (1..=10).collect::<Vec<_>>());
        assert_eq!(tally.best_sellers().len(), TOP);
    }

    #[test]
    fn a_total_of_zero_is_not_shown() {
        let mut tally = Tally::default();
        tally.add(&order(1, 0, &[]));
        assert!(tally.highest_spenders().is_empty());
        assert!(tally.best_sellers().is_empty());
    }
}
