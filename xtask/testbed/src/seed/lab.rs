//! Random data of a given size; one seed gives the same data on every machine.

use std::collections::BTreeMap;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use store_domain::Cents;

use super::dataset::Dataset;

/// How many rows [`Dataset::random`] makes.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Rows of `users`.
    pub users: usize,
    /// Rows of `products`.
    pub products: usize,
    /// Rows of `orders`, of 1 to 5 items each.
    pub orders: usize,
}

/// The size of the course's data.
pub const LAB: Size = Size {
    users: 1_000,
    products: 10_000,
    orders: 80_000,
};

const FIRST_NAMES: [&str; 16] = [
    "Ada",
    "Alan",
    "Barbara",
    "Claude",
    "Donald",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "John",
    "Katherine",
    "Ken",
    "Margaret",
    "Niklaus",
    "Radia",
    "Sophie",
];
const LAST_NAMES: [&str; 12] = [
    "Bouchard",
    "Côté",
    "Fortin",
    "Gagnon",
    "Gauthier",
    "Lavoie",
    "Morin",
    "Ouellet",
    "Pelletier",
    "Roy",
    "Simard",
    "Tremblay",
];
const ARTICLES: [&str; 12] = [
    "Adapter", "Cable", "Camera", "Charger", "Gadget", "Headset", "Keyboard", "Laptop", "Mouse",
    "Router", "Screen", "Speaker",
];
const LINES: [&str; 8] = [
    "Air", "Classic", "Duo", "Max", "Mini", "Plus", "Pro", "Studio",
];

impl Dataset {
    /// Random data that depends only on `size` and `seed`.
    pub fn random(size: Size, seed: u64) -> Self {
        // A named algorithm, because `StdRng` may change with the next version of its crate.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut data = Self::default();
        for id in 1..=size.users {
            let name = format!(
                "{} {}",
                pick(&FIRST_NAMES, &mut rng),
                pick(&LAST_NAMES, &mut rng)
            );
            data.add_user(&name, &format!("user{id}@example.com"));
        }
        for id in 1..=size.products {
            let name = format!(
                "{} {} {id}",
                pick(&ARTICLES, &mut rng),
                pick(&LINES, &mut rng)
            );
            let price = Cents::new(rng.random_range(100..=100_000));
            data.add_product(
                &name,
                &format!("SKU-{id:06}"),
                price,
                rng.random_range(0..=1_000),
            );
        }
        for _ in 0..size.orders {
            let user_id = rng.random_range(1..=size.users as i64);
            data.add_order(user_id, order_lines(size.products, &mut rng));
        }
        data
    }
}

/// 1 to 5 different products, by ascending id, with 1 to 5 pieces of each.
fn order_lines(products: usize, rng: &mut ChaCha8Rng) -> BTreeMap<i64, i64> {
    let count = rng.random_range(1..=5).min(products);
    let mut lines = BTreeMap::new();
    while lines.len() < count {
        let product = rng.random_range(1..=products as i64);
        lines.insert(product, rng.random_range(1..=5));
    }
    lines
}

fn pick<'a>(words: &[&'a str], rng: &mut ChaCha8Rng) -> &'a str {
    words[rng.random_range(0..words.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Size = Size {
        users: 20,
        products: 50,
        orders: 200,
    };

    #[test]
    fn the_same_seed_gives_the_same_rows() {
        assert_eq!(Dataset::random(SMALL, 42), Dataset::random(SMALL, 42));
        assert_ne!(Dataset::random(SMALL, 42), Dataset::random(SMALL, 43));
    }

    /// If these numbers change, everybody's data changes, and measurements before and after can't be compared.
    #[test]
    fn seed_42_gives_the_rows_it_always_gave() {
        let data = Dataset::random(LAB, 42);
        let revenue: i64 = data
            .orders
            .iter()
            .map(|order| order.total_amount.get())
            .sum();
        let items: usize = data.orders.iter().map(|order| order.items.len()).sum();
        let stock: i64 = data
            .products
            .iter()
            .map(|product| product.level.quantity)
            .sum();
        assert_eq!(
            (data.orders.len(), items, stock, revenue),
            (80_000, 239_738, 5_049_576, 35_641_663_307)
        );
    }

    #[test]
    fn every_order_has_one_to_five_different_products() {
        for order in Dataset::random(SMALL, 7).orders {
            assert!((1..=5).contains(&order.items.len()), "{order:?}");
            let ascending = order
                .items
                .is_sorted_by(|one, next| one.product_id < next.product_id);
            assert!(ascending, "{order:?}");
            assert!(
                order
                    .items
                    .iter()
                    .all(|item| (1..=5).contains(&item.quantity)),
                "{order:?}"
            );
        }
    }
}
