//! `Idempotency-Key`.

use mysql_async::prelude::Queryable;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Shop, order_body, send};

async fn order(shop: &Shop, key: &str, body: &Value) -> Answer {
    let request = shop.request(Method::POST, "/orders").json(body);
    send(request.header("idempotency-key", key)).await
}

async fn orders(shop: &Shop) -> i64 {
    let mut mysql = shop.store.mysql().await.unwrap();
    mysql
        .query_first("SELECT COUNT(*) FROM orders")
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_and_body_replay_the_first_answer() {
    let shop = Shop::open().await;
    let body = order_body(shop.user(1).await, shop.product(10.0, 5).await, 1);
    let first = order(&shop, "key-1", &body).await.expect(201);
    assert_eq!(order(&shop, "key-1", &body).await.expect(201), first);
    assert_ne!(order(&shop, "KEY-1", &body).await.expect(201), first);
    assert_eq!(orders(&shop).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_another_body_is_422() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    order(&shop, "key-1", &order_body(user, product, 1))
        .await
        .expect(201);
    order(&shop, "key-1", &order_body(user, product, 2))
        .await
        .problem(422);
    assert_eq!(orders(&shop).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_order_does_not_use_its_key_up() {
    let shop = Shop::open().await;
    let user = shop.user(1).await;
    let body = order_body(user, 1, 1);
    order(&shop, "key-1", &body).await.problem(422);
    assert_eq!(shop.product(10.0, 5).await, 1);
    order(&shop, "key-1", &body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_keys_are_400() {
    let shop = Shop::open().await;
    let body = order_body(shop.user(1).await, shop.product(10.0, 5).await, 1);
    for key in ["", "a b", &"k".repeat(256)] {
        order(&shop, key, &body).await.problem(400);
    }
    order(&shop, &"k".repeat(255), &body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_flight_is_409_and_answers_once_it_is_done() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let body = order_body(user, product, 1);
    // The first order waits for the stock row, with its key written and not committed.
    let blocker = shop.hold_stock(product).await;
    let first = order(&shop, "key-1", &body);
    let second = async {
        let mut mysql = shop.store.mysql().await.unwrap();
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
                       WHERE db = DATABASE() AND info LIKE '%stocks%' AND id <> CONNECTION_ID()";
        crate::support::eventually("the first waits for the stock", async || {
            mysql.query_first(waiting).await.unwrap() == Some(1_u32)
        })
        .await;
        crate::support::eventually("the second is told to wait", async || {
            order(&shop, "key-1", &body).await.status == 409
        })
        .await;
        blocker.release().await;
    };
    let (first, ()) = tokio::join!(first, second);
    let placed = first.expect(201);
    assert_eq!(order(&shop, "key-1", &body).await.expect(201), placed);
    assert_eq!(orders(&shop).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_with_one_key_make_one_order() {
    let shop = Shop::open().await;
    let body = order_body(shop.user(1).await, shop.product(10.0, 50).await, 1);
    let answers = futures::future::join_all((0..20).map(|_| order(&shop, "key-1", &body))).await;
    let mut placed = Vec::new();
    for answer in answers {
        match answer.status.as_u16() {
            201 => placed.push(answer.json()),
            _ => drop(answer.problem(409)),
        }
    }
    assert!(!placed.is_empty());
    assert!(placed.iter().all(|body| *body == placed[0]), "{placed:?}");
    assert_eq!(orders(&shop).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_forgotten_after_a_day() {
    let shop = Shop::open().await;
    let body = order_body(shop.user(1).await, shop.product(10.0, 5).await, 1);
    let first = order(&shop, "key-1", &body).await.expect(201);
    let mut mysql = shop.store.mysql().await.unwrap();
    mysql
        .query_drop("UPDATE idempotency_keys SET created_at = NOW() - INTERVAL 25 HOUR")
        .await
        .unwrap();
    assert_ne!(order(&shop, "key-1", &body).await.expect(201), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_in_the_middle_leaves_neither_order_nor_key() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let body = order_body(user, product, 1);
    let blocker = shop.hold_stock(product).await;
    let request = shop
        .request(Method::POST, "/orders")
        .header("idempotency-key", "key-1")
        .json(&body);
    let cut_off = tokio::spawn(crate::support::try_send(request));
    crate::support::eventually("the order waits for the row", async || {
        let mut mysql = shop.store.mysql().await.unwrap();
        let waiting: Option<i64> = mysql
            .query_first(
                "SELECT COUNT(*) FROM information_schema.processlist
                 WHERE db = DATABASE() AND info LIKE 'SELECT%FROM stocks%FOR UPDATE'",
            )
            .await
            .unwrap();
        waiting > Some(0)
    })
    .await;
    shop.host.kill();
    assert!(cut_off.await.unwrap().is_err());
    blocker.release().await;

    let shop = Shop::on(shop.store, crate::support::options()).await;
    let placed = order(&shop, "key-1", &body).await.expect(201);
    assert_eq!(order(&shop, "key-1", &body).await.expect(201), placed);
    assert_eq!(orders(&shop).await, 1);
    assert_eq!(
        shop.get(&format!("/stocks/{product}")).await.expect(200),
        json!({"product_id": product, "quantity": 4})
    );
    shop.assert_consistent().await;
}
