//! `POST`, `GET` and `DELETE /orders`.

use mysql_async::prelude::Queryable;
use serde_json::json;

use crate::support::{Shop, options, order_body};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_at_the_database_s_prices_and_read_back() {
    let shop = Shop::open().await;
    let user = shop.user(1).await;
    let (laptop, mouse) = (shop.product(1999.99, 10).await, shop.product(5.5, 3).await);
    let body = json!({"user_id": user, "items": [
        {"product_id": mouse, "quantity": 1},
        {"product_id": laptop, "quantity": 2},
        {"product_id": mouse, "quantity": 1},
    ]});
    let placed = shop.post("/orders", &body).await.expect(201);
    let order = placed["order_id"].as_i64().unwrap();

    let read = shop.get(&format!("/orders/{order}")).await.expect(200);
    let expected = json!({
        "order_id": order, "user_id": user, "total_amount": 4010.98,
        "items": [
            {"product_id": laptop, "quantity": 2, "unit_price": 1999.99},
            {"product_id": mouse, "quantity": 2, "unit_price": 5.5},
        ]
    });
    assert_eq!(read, expected);
    assert_eq!((shop.stock(laptop).await, shop.stock(mouse).await), (8, 1));
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_read_the_same_from_mysql_and_heals_the_cache() {
    let shop = Shop::with(options().variable("report_refresh_seconds", "3600")).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let order = shop.order(user, product, 1).await.expect(201)["order_id"].clone();
    let path = format!("/orders/{order}");
    let cached = shop.get(&path).await.expect(200);

    let mut redis = shop.store.redis().await.unwrap();
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
    assert_eq!(shop.get(&path).await.expect(200), cached);
    let healed: bool = redis::cmd("EXISTS")
        .arg(format!("order:{order}"))
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(healed);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_an_order_gives_its_stock_back() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let order = shop.order(user, product, 4).await.expect(201)["order_id"].clone();
    let path = format!("/orders/{order}");

    assert_eq!(
        shop.delete(&path).await.expect(200),
        json!({"deleted": true})
    );
    assert_eq!(
        shop.delete(&path).await.expect(404),
        json!({"deleted": false})
    );
    shop.get(&path).await.problem(404);
    assert_eq!(shop.stock(product).await, 5);
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_user_deletes_the_user_s_orders() {
    let shop = Shop::open().await;
    let (user, other) = (shop.user(1).await, shop.user(2).await);
    let product = shop.product(10.0, 10).await;
    for _ in 0..3 {
        shop.order(user, product, 2).await.expect(201);
    }
    let kept = shop.order(other, product, 1).await.expect(201)["order_id"].clone();

    shop.delete(&format!("/users/{user}")).await.expect(200);
    shop.get(&format!("/users/{user}")).await.problem(404);
    shop.get(&format!("/orders/{kept}")).await.expect(200);
    assert_eq!(shop.stock(product).await, 9);
    shop.assert_consistent().await;
    let missing = shop.delete(&format!("/users/{user}")).await.expect(404);
    assert_eq!(missing, json!({"deleted": false}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_s_many_orders_are_deleted_piece_by_piece() {
    let shop = Shop::open().await;
    let (user, other) = (shop.user(1).await, shop.user(2).await);
    // Stock is locked by ascending product: whoever waits for `late` holds nothing of `early`.
    let (late, early) = (shop.product(2.0, 0).await, shop.product(1.0, 0).await);
    let order_many = async |count, product| {
        let orders = (0..count).map(|_| shop.order(user, product, 1));
        let mut placed = Vec::new();
        for order in futures::future::join_all(orders).await {
            placed.push(order.expect(201)["order_id"].as_i64().unwrap());
        }
        placed.sort_unstable();
        placed
    };
    let first = order_many(220, early).await;
    let last = order_many(30, late).await;
    let kept = shop.order(other, early, 1).await.expect(201)["order_id"].clone();
    let path = format!("/users/{user}");

    let blocker = shop.hold_stock(late).await;
    let cut_off = tokio::spawn(crate::support::try_send(
        shop.request(reqwest::Method::DELETE, &path),
    ));
    let mut mysql = shop.store.mysql().await.unwrap();
    crate::support::eventually("two pieces are deleted", async || {
        let left = "SELECT COUNT(*) FROM orders WHERE user_id = ?";
        mysql.exec_first(left, (user,)).await.unwrap() == Some(50)
    })
    .await;
    shop.order(other, early, 1).await.expect(201);
    shop.get(&path).await.expect(200);
    let reads = first.iter().take(200).chain(&last);
    for (order, gone) in reads.zip([true; 200].into_iter().chain([false; 30])) {
        let read = shop.get(&format!("/orders/{order}")).await;
        assert_eq!(read.status == 404, gone, "{order}: {read:?}");
    }

    // A host that dies in the middle leaves a user with fewer orders, and the next request goes on.
    shop.host.kill();
    assert!(cut_off.await.unwrap().is_err());
    blocker.release().await;
    let shop = Shop::on(shop.store, options()).await;
    shop.assert_consistent().await;
    shop.delete(&path).await.expect(200);
    shop.get(&path).await.problem(404);
    shop.get(&format!("/orders/{kept}")).await.expect(200);
    assert_eq!((shop.stock(early).await, shop.stock(late).await), (-2, 0));
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_nothing_behind() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let item = |product, quantity| json!({"product_id": product, "quantity": quantity});
    let many = [item(product, i64::MAX), item(product, i64::MAX)];
    let quantity = format!("quantity of product {product} must be from 1 to 1000000");
    let quantity = quantity.as_str();
    let cases = [
        (user, json!([]), "items must not be empty"),
        (user, json!([item(product, 0)]), quantity),
        (user, json!([item(product, -1)]), quantity),
        (user, json!([item(product, i64::MAX)]), quantity),
        (user, json!(many), quantity),
        (
            user,
            json!([item(product, 1), item(999, 1)]),
            "unknown product 999",
        ),
        (999, json!([item(product, 1)]), "unknown user 999"),
        (-1, json!([item(product, 1)]), "unknown user -1"),
    ];
    for (user, items, reason) in cases {
        let body = json!({"user_id": user, "items": items});
        let detail = shop.post("/orders", &body).await.problem(422);
        assert_eq!(detail, reason, "{body}");
    }
    let mut mysql = shop.store.mysql().await.unwrap();
    let rows: Option<(i64, i64)> = mysql
        .query_first("SELECT (SELECT COUNT(*) FROM orders), (SELECT COUNT(*) FROM order_items)")
        .await
        .unwrap();
    assert_eq!(rows, Some((0, 0)));
    assert_eq!(shop.stock(product).await, 5);
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_looked_up_one_by_one_make_the_same_order_with_more_statements() {
    let batched = Shop::open().await;
    let per_item = Shop::with(options().variable("price_lookup", "per_item")).await;
    let mut statements = Vec::new();
    let mut orders = Vec::new();
    for shop in [&batched, &per_item] {
        let user = shop.user(1).await;
        let mut items = Vec::new();
        for price in [1.0, 2.0, 3.0, 4.0] {
            items.push(json!({"product_id": shop.product(price, 9).await, "quantity": 1}));
        }
        let series = "store_mysql_statements_total{component=\"orders\"}";
        let before = shop.metric(series).await;
        let body = json!({"user_id": user, "items": items});
        let order = shop.post("/orders", &body).await.expect(201)["order_id"].clone();
        statements.push(shop.metric(series).await - before);
        orders.push(shop.get(&format!("/orders/{order}")).await.expect(200));
    }
    assert_eq!(orders[0], orders[1]);
    assert_eq!(statements[1] - statements[0], 3.0, "{statements:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_orders_of_the_same_products_all_succeed() {
    let shop = Shop::open().await;
    let user = shop.user(1).await;
    let (a, b) = (shop.product(1.0, 0).await, shop.product(2.0, 0).await);
    let orders = (0..60).map(|n| {
        // Half name the products the other way round: only one lock order keeps them from waiting for each other.
        let ids = if n % 2 == 0 { [a, b] } else { [b, a] };
        let items = ids.map(|id| json!({"product_id": id, "quantity": 1}));
        let body = json!({"user_id": user, "items": items});
        let shop = &shop;
        async move { shop.post("/orders", &body).await.expect(201) }
    });
    futures::future::join_all(orders).await;
    assert_eq!((shop.stock(a).await, shop.stock(b).await), (-60, -60));
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_client_s_load_goes_through_unchanged() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    // Flask's test client sends a charset; a client may send any Accept.
    let request = shop
        .request(reqwest::Method::POST, "/orders")
        .header("content-type", "application/json; charset=utf-8")
        .header("accept", "*/*")
        .body(order_body(user, product, 1).to_string());
    crate::support::send(request).await.expect(201);
}
