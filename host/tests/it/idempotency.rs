//! `Idempotency-Key`.

use mysql_async::prelude::Queryable;
use reqwest::Method;
use serde_json::{Value, json};
use testbed::DataStore;

use crate::support::{Answer, Shop, eventually, host_binary, options, order_body, send, try_send};

/// Why a key may not be used again.
const USED: &str = "this Idempotency-Key was used for another body or route";

/// Why a key may not be used yet.
const UNDER_WAY: &str = "a request with this Idempotency-Key is still under way";

async fn order(shop: &Shop, key: &str, body: &Value) -> Answer {
    post(shop, "/orders", key, body).await
}

async fn post(shop: &Shop, path: &str, key: &str, body: &Value) -> Answer {
    let request = shop.request(Method::POST, path).json(body);
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
    let other = order(&shop, "key-1", &order_body(user, product, 2)).await;
    assert_eq!(other.problem(422), USED);
    assert_eq!(orders(&shop).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_order_does_not_use_its_key_up() {
    let shop = Shop::open().await;
    let user = shop.user(1).await;
    let body = order_body(user, 1, 1);
    let refused = order(&shop, "key-1", &body).await;
    assert_eq!(refused.problem(422), "unknown product 1");
    assert_eq!(shop.product(10.0, 5).await, 1);
    order(&shop, "key-1", &body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_keys_are_400() {
    let shop = Shop::open().await;
    let body = order_body(shop.user(1).await, shop.product(10.0, 5).await, 1);
    for key in ["", "a b", &"k".repeat(256)] {
        assert_eq!(
            order(&shop, key, &body).await.problem(400),
            "Idempotency-Key must be 1 to 255 visible ASCII characters"
        );
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
        eventually("the first waits for the stock", async || {
            mysql.query_first(waiting).await.unwrap() == Some(1_u32)
        })
        .await;
        eventually("the second is told to wait", async || {
            let answer = order(&shop, "key-1", &body).await;
            answer.status == 409 && answer.problem(409) == UNDER_WAY
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
            _ => assert_eq!(answer.problem(409), UNDER_WAY),
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

/// A body for each route but orders that honours keys.
async fn bodies(shop: &Shop) -> [(&'static str, Value); 3] {
    let product = json!({"name": "Mouse", "sku": "M-1", "price": 5});
    let stocked = shop.post("/products", &product).await.expect(201)["product_id"].clone();
    [
        ("/users", json!({"name": "Eve", "email": "eve@example.com"})),
        ("/products", product),
        ("/stocks", json!({"product_id": stocked, "quantity": 3})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_post_replays_the_first_answer_to_its_key() {
    let shop = Shop::open().await;
    for (path, body) in bodies(&shop).await {
        let key = format!("key of {path}").replace(' ', "-");
        let first = post(&shop, path, &key, &body).await.expect(201);
        assert_eq!(post(&shop, path, &key, &body).await.expect(201), first);
        // Another key is another request.
        let other = post(&shop, path, path, &body).await;
        match path {
            "/users" => assert_eq!(other.problem(409), "another user has this email"),
            _ => assert_ne!(other.expect(201), first),
        }
    }
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_that_is_set_again_under_its_key_keeps_what_was_sold_meanwhile() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 0).await);
    let body = json!({"product_id": product, "quantity": 5});
    let first = post(&shop, "/stocks", "key-1", &body).await.expect(201);
    shop.order(user, product, 2).await.expect(201);
    let again = post(&shop, "/stocks", "key-1", &body).await.expect(201);
    assert_eq!((again, shop.stock(product).await), (first, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_route_is_422() {
    let shop = Shop::open().await;
    let order_body = order_body(shop.user(1).await, shop.product(10.0, 5).await, 1);
    order(&shop, "key-1", &order_body).await.expect(201);
    for (path, body) in bodies(&shop).await {
        let refused = post(&shop, path, "key-1", &body).await;
        assert_eq!(refused.problem(422), USED, "{path}");
        post(&shop, path, path, &body).await.expect(201);
        let refused = order(&shop, path, &order_body).await;
        assert_eq!(refused.problem(422), USED, "{path}");
    }
    assert_eq!(orders(&shop).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_with_one_key_write_once_on_every_route() {
    let shop = Shop::open().await;
    for (path, body) in bodies(&shop).await {
        let requests = (0..20).map(|_| post(&shop, path, path, &body));
        let mut written = Vec::new();
        for answer in futures::future::join_all(requests).await {
            match answer.status.as_u16() {
                201 => written.push(answer.json()),
                // Under way, and never "the e-mail is taken": it is taken by this very request.
                _ => assert!(answer.problem(409).contains("under way"), "{path}"),
            }
        }
        assert!(!written.is_empty(), "{path}");
        assert!(written.iter().all(|one| *one == written[0]), "{written:?}");
    }
    let mut mysql = shop.store.mysql().await.unwrap();
    let written: Option<(i64, i64)> = mysql
        .query_first("SELECT (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM products)")
        .await
        .unwrap();
    assert_eq!(written, Some((1, 2)));
}

/// A store whose server is in a zone of the test's own, whose clocks went an hour ahead twelve hours ago; and a
/// connection in UTC.
async fn store_where_clocks_were_changed() -> (DataStore, mysql_async::Conn) {
    const ZONE: [&str; 5] = [
        "INSERT INTO mysql.time_zone (Time_zone_id, Use_leap_seconds) VALUES (9001, 'N')",
        "INSERT INTO mysql.time_zone_name (Name, Time_zone_id) VALUES ('Test/Summer', 9001)",
        "INSERT INTO mysql.time_zone_transition_type
         (Time_zone_id, Transition_type_id, `Offset`, Is_DST, Abbreviation)
         VALUES (9001, 0, 0, 0, 'TST'), (9001, 1, 3600, 1, 'TSS')",
        "INSERT INTO mysql.time_zone_transition (Time_zone_id, Transition_time, Transition_type_id)
         VALUES (9001, UNIX_TIMESTAMP() - 400 * 86400, 0), (9001, UNIX_TIMESTAMP() - 43200, 1)",
        "SET GLOBAL time_zone = 'Test/Summer'",
    ];
    let store = DataStore::start_with_own_mariadb(env!("CARGO_TARGET_TMPDIR"))
        .await
        .unwrap();
    store.migrate(host_binary()).unwrap();
    let mut admin = store.mysql().await.unwrap();
    for statement in ZONE {
        admin.query_drop(statement).await.unwrap();
    }
    admin.query_drop("SET time_zone = '+00:00'").await.unwrap();
    (store, admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lives_for_24_hours_where_clocks_are_changed() {
    let (store, mut admin) = store_where_clocks_were_changed().await;
    // The refresh at the host's start deletes old keys, too. There is no other before the end.
    let options = options().variable("report_refresh_seconds", "3600");
    let shop = Shop::on(store, options).await;
    shop.refreshed().await;
    let body = order_body(shop.user(1).await, shop.product(10.0, 5).await, 1);
    let first = order(&shop, "key-1", &body).await.expect(201);
    let mut age = async |hours: f64| {
        let age =
            "UPDATE idempotency_keys SET created_at = FROM_UNIXTIME(UNIX_TIMESTAMP() - ? * 3600)";
        admin.exec_drop(age, (hours,)).await.unwrap();
    };
    age(23.5).await;
    assert_eq!(order(&shop, "key-1", &body).await.expect(201), first);
    age(24.5).await;
    assert_ne!(order(&shop, "key-1", &body).await.expect(201), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_keys_of_24_hours_are_swept_where_clocks_are_changed() {
    let (store, mut admin) = store_where_clocks_were_changed().await;
    // It refreshes once a second, and sweeps without Redis too.
    let mut shop = Shop::on(store, options()).await;
    shop.refreshed().await;
    for is_redis_up in [true, false] {
        if !is_redis_up {
            shop.store.redis_server.stop().await.unwrap();
        }
        // In one statement, so that whoever sees the old one sees the young one too.
        let insert = "INSERT INTO idempotency_keys (key_sha256, body_sha256, order_id, created_at)
             SELECT SHA2(age, 256), REPEAT('b', 64), 1, FROM_UNIXTIME(UNIX_TIMESTAMP() - age * 3600)
             FROM (SELECT 23.5 AS age UNION ALL SELECT 24.5) AS ages";
        let forget = "DELETE FROM idempotency_keys";
        admin.query_drop(forget).await.unwrap();
        admin.query_drop(insert).await.unwrap();
        let mut left = Vec::new();
        eventually("the old one is swept", async || {
            let ages = "SELECT (UNIX_TIMESTAMP() - UNIX_TIMESTAMP(created_at)) DIV 3600
                 FROM idempotency_keys ORDER BY created_at";
            left = admin.query::<i64, _>(ages).await.unwrap();
            left.first() != Some(&24)
        })
        .await;
        assert_eq!(left, [23], "Redis is up: {is_redis_up}");
    }
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
    let cut_off = tokio::spawn(try_send(request));
    eventually("the order waits for the row", async || {
        let mut mysql = shop.store.mysql().await.unwrap();
        let waiting: Option<i64> = mysql
            .query_first(
                "SELECT COUNT(*) FROM information_schema.processlist
                 WHERE db = DATABASE() AND info LIKE 'INSERT INTO stocks%'",
            )
            .await
            .unwrap();
        waiting > Some(0)
    })
    .await;
    shop.host.kill();
    assert!(cut_off.await.unwrap().is_err());
    blocker.release().await;

    let shop = Shop::on(shop.store, options()).await;
    let placed = order(&shop, "key-1", &body).await.expect(201);
    assert_eq!(order(&shop, "key-1", &body).await.expect(201), placed);
    assert_eq!(orders(&shop).await, 1);
    assert_eq!(
        shop.get(&format!("/stocks/{product}")).await.expect(200),
        json!({"product_id": product, "quantity": 4})
    );
    shop.assert_consistent().await;
}
