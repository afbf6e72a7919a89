//! The data that a store is filled with, in memory.

use store_domain::Cents;
use store_domain::orders::{Order, OrderItem};
use store_domain::stock::{StockLevel, StockedProduct};

/// All data of a seed. Ids count from 1 without gaps, so that the same data has the same URLs everywhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// Rows of `users`.
    pub users: Vec<User>,
    /// Rows of `products` and of `stocks`. The stock is the number of pieces left after the orders.
    pub products: Vec<StockedProduct>,
    /// Rows of `orders` and of `order_items`.
    pub orders: Vec<Order>,
}

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id, from 1.
    pub id: i64,
    /// The user's name.
    pub name: String,
    /// The e-mail address; unique.
    pub email: String,
}

impl Dataset {
    /// The older API's three users and four products, with a few orders: small enough to check by hand.
    pub fn sample() -> Self {
        let mut sample = Self::default();
        sample.add_user("Ada Lovelace", "alovelace@example.com");
        sample.add_user("Adele Goldberg", "agoldberg@example.com");
        sample.add_user("Alan Turing", "aturing@example.com");
        sample.add_product("Laptop ABC", "LP12567", Cents::new(199_999), 1_000);
        sample.add_product("Keyboard DEF", "KB67890", Cents::new(5_950), 500);
        sample.add_product("Gadget XYZ", "GG12345", Cents::new(575), 2);
        sample.add_product("27-inch Screen WYZ", "SC27289", Cents::new(29_975), 90);
        sample.add_order(1, [(1, 1), (2, 2)]);
        sample.add_order(2, [(3, 4)]);
        sample.add_order(1, [(2, 1), (4, 2)]);
        sample
    }

    pub(super) fn add_user(&mut self, name: &str, email: &str) {
        let id = self.users.len() as i64 + 1;
        self.users.push(User {
            id,
            name: name.to_owned(),
            email: email.to_owned(),
        });
    }

    pub(super) fn add_product(&mut self, name: &str, sku: &str, unit_price: Cents, stock: i64) {
        let product_id = self.products.len() as i64 + 1;
        self.products.push(StockedProduct {
            name: name.to_owned(),
            sku: sku.to_owned(),
            unit_price,
            level: StockLevel {
                product_id,
                quantity: stock,
                version: 1,
            },
        });
    }

    /// Adds an order of `(product_id, quantity)` lines, by ascending product id, at the products' prices.
    pub(super) fn add_order(&mut self, user_id: i64, lines: impl IntoIterator<Item = (i64, i64)>) {
        let priced = lines.into_iter().map(|(product_id, quantity)| OrderItem {
            product_id,
            quantity,
            unit_price: self.products[product_id as usize - 1].unit_price,
        });
        let items: Vec<OrderItem> = priced.collect();
        let amounts = items
            .iter()
            .map(|item| Cents::new(item.unit_price.get() * item.quantity));
        let total_amount = amounts.sum();
        self.orders.push(Order {
            order_id: self.orders.len() as i64 + 1,
            user_id,
            total_amount,
            items,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_costs_the_sum_of_its_items() {
        let sample = Dataset::sample();
        let totals: Vec<i64> = sample
            .orders
            .iter()
            .map(|order| order.total_amount.get())
            .collect();
        assert_eq!(totals, [199_999 + 2 * 5_950, 4 * 575, 5_950 + 2 * 29_975]);
    }
}
