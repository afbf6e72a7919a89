//! `stock_policy`.

use crate::support::{Shop, options};

const BUYERS: u32 = 200;

/// 200 users at once each buy one of a product that there are 100 of. Gives how many got it and how many 409.
async fn rush(shop: &Shop) -> (usize, usize, i64) {
    let (user, product) = (shop.user(1).await, shop.product(10.0, 100).await);
    let buyers = (0..BUYERS).map(|_| shop.order(user, product, 1));
    let answers = futures::future::join_all(buyers).await;
    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    (count(201), count(409), shop.stock(product).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn under_reject_a_stock_of_100_is_sold_100_times_to_200_buyers() {
    // Spread over instances, and all in one.
    for concurrency in ["16", "256"] {
        let options = options()
            .arg("--instance-concurrency")
            .arg(concurrency)
            .variable("stock_policy", "reject");
        let shop = Shop::with(options).await;
        assert_eq!(rush(&shop).await, (100, 100, 0), "{concurrency}");
        shop.assert_consistent().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_backorder_all_200_buyers_get_theirs() {
    let shop = Shop::open().await;
    assert_eq!(rush(&shop).await, (200, 0, -100));
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_reject_an_order_takes_all_or_nothing() {
    let shop = Shop::with(options().variable("stock_policy", "reject")).await;
    let user = shop.user(1).await;
    let (plenty, scarce) = (shop.product(1.0, 10).await, shop.product(1.0, 1).await);
    let items = [plenty, scarce].map(|id| serde_json::json!({"product_id": id, "quantity": 2}));
    let body = serde_json::json!({"user_id": user, "items": items});
    let detail = shop.post("/orders", &body).await.problem(409);
    assert!(detail.contains(&format!("product {scarce}")), "{detail}");
    assert_eq!(
        (shop.stock(plenty).await, shop.stock(scarce).await),
        (10, 1)
    );
    shop.assert_consistent().await;
}
