//! Commits whose answer is lost: what happened is looked up, and never done twice.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::group_orders::{count, relayed};
use crate::mysql_relay::{Fault, MysqlRelay};
use crate::support::{Answer, options, order_body, send};

/// Sends a request whose commit is broken.
pub(crate) async fn broken(relay: &MysqlRelay, fault: Fault, request: RequestBuilder) -> Answer {
    relay.break_next_commit(fault);
    let answer = send(request).await;
    assert!(relay.broke_one(), "no commit came: {answer:?}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_once_whatever_becomes_of_its_commit() {
    let (shop, relay) = relayed(options()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let body = order_body(user, product, 1);
    let faults = [
        Fault::AnswerLost,
        Fault::CommitLost,
        // A conflict with another node, as Galera and Group Replication tell it.
        Fault::Refused(1213),
        Fault::Refused(3101),
    ];
    let mut placed = 0;
    for fault in faults {
        for key in [None, Some(format!("{fault:?}"))] {
            let mut request = shop.request(Method::POST, "/orders").json(&body);
            if let Some(key) = &key {
                request = request.header("idempotency-key", key);
            }
            let again = request.try_clone().unwrap();
            let order = broken(&relay, fault, request).await.expect(201);
            placed += 1;
            assert_eq!(count(&shop, "orders").await, placed, "{fault:?}");
            shop.get(&format!("/orders/{}", order["order_id"]))
                .await
                .expect(200);
            if key.is_some() {
                assert_eq!(send(again).await.expect(201), order, "{fault:?}");
            }
        }
    }
    assert_eq!(shop.stock(product).await, 5 - placed);
    // The sessions that refused are fit for the next: nothing is left open in them.
    for _ in 0..20 {
        shop.order(user, product, 1).await.expect(201);
    }
    assert_eq!(count(&shop, "orders").await, placed + 20);
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_products_and_stock_are_written_once_whatever_becomes_of_their_commit() {
    let (shop, relay) = relayed(options()).await;
    for (number, fault) in [Fault::AnswerLost, Fault::CommitLost, Fault::Refused(1213)]
        .into_iter()
        .enumerate()
    {
        let user = json!({"name": "Ada", "email": format!("ada{number}@example.com")});
        let request = shop.request(Method::POST, "/users").json(&user);
        let user = broken(&relay, fault, request).await.expect(201)["user_id"].clone();
        shop.get(&format!("/users/{user}")).await.expect(200);

        let product = json!({"name": "Laptop", "sku": "LP-1", "price": 10});
        let request = shop.request(Method::POST, "/products").json(&product);
        let product = broken(&relay, fault, request).await.expect(201)["product_id"].clone();
        assert_eq!(count(&shop, "users").await, number as i64 + 1, "{fault:?}");
        assert_eq!(count(&shop, "products").await, number as i64 + 1);

        let body = json!({"product_id": product, "quantity": 5});
        let request = || shop.request(Method::POST, "/stocks").json(&body);
        let added = broken(&relay, fault, request()).await.expect(201);
        let words = format!("rows added, product {product}");
        assert_eq!(added, json!({"result": words}), "{fault:?}");
        let updated = broken(&relay, fault, request()).await.expect(201);
        assert_eq!(updated, json!({"result": "rows updated: 1"}), "{fault:?}");
        assert_eq!(shop.stock(product.as_i64().unwrap()).await, 5);
    }
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_said_to_be_whatever_becomes_of_the_commit() {
    let (shop, relay) = relayed(options()).await;
    let kept = shop.product(10.0, 5).await;
    for fault in [Fault::AnswerLost, Fault::CommitLost, Fault::Refused(1213)] {
        let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
        let order = shop.order(user, kept, 1).await.expect(201)["order_id"].clone();
        shop.order(user, kept, 1).await.expect(201);
        for path in [
            format!("/orders/{order}"),
            format!("/users/{user}"),
            format!("/products/{product}"),
        ] {
            let request = shop.request(Method::DELETE, &path);
            let answer = broken(&relay, fault, request).await.expect(200);
            assert_eq!(answer, json!({"deleted": true}), "{fault:?} {path}");
            shop.get(&path).await.problem(404);
        }
        assert_eq!(shop.stock(kept).await, 5, "{fault:?}");
    }
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_nobody_can_look_up_is_said_to_be_open() {
    let (shop, relay) = relayed(options()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let keyed = || {
        shop.request(Method::POST, "/orders")
            .json(&order_body(user, product, 1))
            .header("idempotency-key", "key-1")
    };
    let answer = broken(&relay, Fault::AnswerAndServerLost, keyed()).await;
    assert_eq!(answer.headers.get("retry-after"), None);
    let detail = answer.problem(504);
    assert!(!detail.contains("try again"), "{detail}");

    relay.mend();
    send(keyed()).await.expect(201);
    assert_eq!(count(&shop, "orders").await, 1);
    shop.assert_consistent().await;
    assert_eq!(shop.stock(product).await, 4);
}
