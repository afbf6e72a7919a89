//! The only generator of orders, for every load.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use testbed::seed::Size;

/// How many of ten orders of the course have several products (2 to 5).
const SEVERAL_OF_TEN: u64 = 3;

/// The product that everybody wants in a flash sale.
const WANTED: u64 = 1;

/// The content of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Basket {
    /// As in the course: one product, or several products in three of ten orders; 1 to 5 pieces of each
    Course,
    /// 1 to 5 products, as in the lab's data; 1 to 3 pieces of each
    OneToFive,
    /// This many different products, one piece of each
    Products(u64),
    /// One piece of the one product that everybody wants
    FlashSale,
}

/// An endless sequence of bodies for `POST /orders`; the same seed gives the same sequence.
pub(crate) struct Orders {
    basket: Basket,
    users: u64,
    products: u64,
    numbers: Numbers,
}

impl Orders {
    /// Orders for the users and products of data of this size.
    pub(crate) fn new(basket: Basket, size: &Size, seed: u64) -> Self {
        Self {
            basket,
            users: size.users as u64,
            products: size.products as u64,
            numbers: Numbers(seed),
        }
    }

    fn items(&mut self) -> String {
        match self.basket {
            Basket::Course => {
                let several = self.numbers.up_to(10) <= SEVERAL_OF_TEN;
                let count = if several {
                    1 + self.numbers.up_to(4)
                } else {
                    1
                };
                self.neighbours(count, 5)
            }
            Basket::OneToFive => {
                let mut items = String::new();
                for _ in 0..self.numbers.up_to(5) {
                    let product = self.numbers.up_to(self.products);
                    add_item(&mut items, product, self.numbers.up_to(3));
                }
                items
            }
            Basket::Products(count) => self.neighbours(count, 1),
            Basket::FlashSale => {
                let mut items = String::new();
                add_item(&mut items, WANTED, 1);
                items
            }
        }
    }

    /// Products with consecutive ids, so that no product occurs twice in an order; up to `most` pieces of each.
    fn neighbours(&mut self, count: u64, most: u64) -> String {
        let first = self
            .numbers
            .up_to((self.products + 1).saturating_sub(count));
        let mut items = String::new();
        for product in first..first + count {
            add_item(&mut items, product, self.numbers.up_to(most));
        }
        items
    }
}

impl Iterator for Orders {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let user = self.numbers.up_to(self.users);
        let items = self.items();
        Some(format!(r#"{{"user_id":{user},"items":[{items}]}}"#))
    }
}

fn add_item(items: &mut String, product: u64, quantity: u64) {
    let comma = if items.is_empty() { "" } else { "," };
    // Writing to a string can't fail.
    _ = write!(
        items,
        r#"{comma}{{"product_id":{product},"quantity":{quantity}}}"#
    );
}

/// Pseudo-random numbers; the same seed gives the same numbers (Vigna's splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// A number from 1 to `limit`.
    pub(crate) fn up_to(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        1 + (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const SMALL: Size = Size {
        users: 3,
        products: 9,
        orders: 0,
    };

    /// The number of products in each of a thousand orders.
    fn counts(basket: Basket) -> Vec<usize> {
        let orders = Orders::new(basket, &SMALL, 42).take(1000);
        orders
            .map(|body| {
                let order: Value = serde_json::from_str(&body).expect("JSON");
                assert!((1..=3).contains(&order["user_id"].as_u64().expect("an id")));
                let items = order["items"].as_array().expect("a list");
                let product = |item: &Value| item["product_id"].as_u64().expect("an id");
                assert!(items.iter().all(|item| (1..=9).contains(&product(item))));
                let mut products: Vec<u64> = items.iter().map(product).collect();
                products.dedup();
                if basket != Basket::OneToFive {
                    assert_eq!(products.len(), items.len(), "{body}");
                }
                items.len()
            })
            .collect()
    }

    #[test]
    fn three_in_ten_of_the_courses_orders_have_several_products() {
        let counts = counts(Basket::Course);
        let several = counts.iter().filter(|count| **count > 1).count();
        assert!((260..340).contains(&several), "{several}");
        assert_eq!(counts.iter().max(), Some(&5));
    }

    #[test]
    fn baskets_have_as_many_products_as_they_say() {
        assert!((1..=5).all(|count| counts(Basket::OneToFive).contains(&count)));
        assert!(counts(Basket::Products(4)).iter().all(|count| *count == 4));
        assert!(counts(Basket::Products(9)).iter().all(|count| *count == 9));
    }

    #[test]
    fn at_a_flash_sale_everybody_buys_the_same() {
        let mut orders = Orders::new(Basket::FlashSale, &SMALL, 42);
        let body = orders.next().expect("without end");
        let expected = r#","items":[{"product_id":1,"quantity":1}]}"#;
        assert!(body.ends_with(expected), "{body}");
    }

    #[test]
    fn numbers_are_within_their_limit_and_spread() {
        let mut numbers = Numbers(42);
        let drawn: Vec<u64> = (0..1000).map(|_| numbers.up_to(10)).collect();
        assert!((1..=10).all(|number| drawn.iter().filter(|n| **n == number).count() > 50));
        assert!(drawn.iter().all(|number| (1..=10).contains(number)));
    }
}
