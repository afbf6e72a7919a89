//! A fuzz target: the body of `POST /orders`.

use std::collections::BTreeMap;

use serde_json::Value;
use store_domain::Cents;
use store_domain::orders::NewOrder;

use crate::json;

/// Whatever parses as an order is an object of whole numbers, and becomes a basket with the right sums.
#[test]
fn order() {
    store_fuzz::target("order", |body| {
        let Ok(order) = json::parse::<NewOrder>(body) else {
            return;
        };
        let written: Value = serde_json::from_slice(body).expect("it was read");
        let items = written["items"].as_array().expect("a list");
        assert_eq!(order.items.len(), items.len());
        let mut quantities = BTreeMap::new();
        for (line, item) in order.items.iter().zip(items) {
            assert_eq!(whole(&item["product_id"]), Some(line.product_id));
            assert_eq!(whole(&item["quantity"]), Some(line.quantity));
            *quantities.entry(line.product_id).or_insert(0_i128) += i128::from(line.quantity);
        }
        let Ok(basket) = order.into_basket() else {
            return;
        };
        assert!(basket.product_ids().eq(quantities.keys().copied()));
        let prices: Vec<_> = basket.product_ids().map(|id| (id, Cents::new(1))).collect();
        let priced = basket
            .priced(&prices)
            .expect("a million cents are not too much");
        let total: i128 = quantities.values().sum();
        assert_eq!(i128::from(priced.total_amount.get()), total);
    });
}

/// `2.0` is a whole number too.
fn whole(number: &Value) -> Option<i64> {
    let rounded = || number.as_f64().map(|number| number as i64);
    number.as_i64().or_else(rounded)
}
