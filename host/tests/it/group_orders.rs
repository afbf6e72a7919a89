//! Orders that commit together: each keeps its own fate.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use testbed::{DataStore, HostOptions};

use crate::mysql_relay::{Fault, MysqlRelay};
use crate::support::{Answer, Gate, Shop, empty_store, eventually, options, order_body, send};

/// Settings under which one instance has all orders of a test.
pub(crate) fn one_instance() -> HostOptions {
    options().arg("--instance-concurrency").arg("256")
}

/// A shop whose transactions are counted and can be broken.
pub(crate) async fn relayed(options: HostOptions) -> (Shop, MysqlRelay) {
    let store = empty_store().await;
    let relay = MysqlRelay::to(&store).await;
    let options = options.variable("mysql_address", relay.address());
    (Shop::on(store, options).await, relay)
}

pub(crate) fn request(shop: &Shop, body: &Value) -> RequestBuilder {
    shop.request(Method::POST, "/orders").json(body)
}

pub(crate) fn keyed(shop: &Shop, key: &str, body: &Value) -> RequestBuilder {
    request(shop, body).header("idempotency-key", key)
}

/// Sends a request, and again as long as it is told to, where its key makes that safe.
async fn insist(request: RequestBuilder) -> Answer {
    loop {
        let again = request.try_clone().unwrap();
        let answer = send(again).await;
        if answer.status != 503 {
            return answer;
        }
    }
}

pub(crate) async fn count(shop: &Shop, table: &str) -> i64 {
    let mut mysql = shop.store.mysql().await.unwrap();
    let count = mysql.query_first(format!("SELECT COUNT(*) FROM {table}"));
    count.await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_wait_at_the_same_time_commit_together() {
    for (commit, together) in [("grouped", true), ("single", false)] {
        let (shop, relay) = relayed(one_instance().variable("order_commit", commit)).await;
        let (user, product) = (shop.user(1).await, shop.product(10.0, 100).await);
        let body = order_body(user, product, 1);
        let before = relay.commits();
        let orders = (0..30).map(|_| send(request(&shop, &body)));
        let mut ids = Vec::new();
        for answer in futures::future::join_all(orders).await {
            ids.push(answer.expect(201)["order_id"].as_i64().unwrap());
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 30, "{commit}");
        let commits = relay.commits() - before;
        assert_eq!(commits < 30, together, "{commit}: {commits} commits");
        assert_eq!(shop.stock(product).await, 70);
        shop.assert_consistent().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_order_of_a_group_keeps_its_own_fate() {
    let shop = Shop::with(one_instance().variable("stock_policy", "reject")).await;
    let (user, other) = (shop.user(1).await, shop.user(2).await);
    let (plenty, scarce) = (shop.product(10.0, 100).await, shop.product(5.0, 2).await);
    let body = json!({"name": "New", "sku": "N-1", "price": 1});
    let unstocked = shop.post("/products", &body).await.expect(201)["product_id"].clone();
    let unstocked = unstocked.as_i64().unwrap();
    let good = order_body(user, plenty, 1);
    let used = send(keyed(&shop, "used", &good)).await.expect(201);

    let answers = shop
        .gathered(vec![
            request(&shop, &good),
            request(&shop, &order_body(999_999, plenty, 1)),
            request(&shop, &order_body(user, 999_999, 1)),
            request(&shop, &order_body(user, scarce, 3)),
            request(&shop, &order_body(user, unstocked, 1)),
            keyed(&shop, "new", &good),
            keyed(&shop, "used", &good),
            keyed(&shop, "used", &order_body(user, plenty, 2)),
            keyed(&shop, "short", &order_body(user, scarce, 4)),
            request(
                &shop,
                &json!({"user_id": other, "items": [
                {"product_id": scarce, "quantity": 2}, {"product_id": plenty, "quantity": 1}]}),
            ),
        ])
        .await;
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap();
    next().expect(201);
    assert!(next().problem(422).contains("unknown user 999999"));
    assert!(next().problem(422).contains("unknown product 999999"));
    let short = format!("insufficient stock of product {scarce}");
    assert!(next().problem(409).contains(&short));
    assert!(
        next()
            .problem(409)
            .contains(&format!("product {unstocked}"))
    );
    let placed = next().expect(201);
    assert_eq!(next().expect(201), used);
    assert!(next().problem(422).contains("another body"));
    assert!(next().problem(409).contains(&short));
    next().expect(201);

    assert_eq!(send(keyed(&shop, "new", &good)).await.expect(201), placed);
    // What is refused leaves nothing behind: no key, and no stock where there was none.
    let again = keyed(&shop, "short", &order_body(user, plenty, 1));
    send(again).await.expect(201);
    shop.get(&format!("/stocks/{unstocked}")).await.problem(404);
    assert_eq!(count(&shop, "stocks").await, 3, "the gate's, and two");
    assert_eq!(
        (shop.stock(plenty).await, shop.stock(scarce).await),
        (95, 0)
    );
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_many_times_in_a_group_is_one_order() {
    let shop = Shop::with(one_instance()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 100).await);
    let body = order_body(user, product, 1);
    let mut requests: Vec<_> = (0..8).map(|_| keyed(&shop, "key-1", &body)).collect();
    requests.push(keyed(&shop, "key-1", &order_body(user, product, 2)));
    let mut answers = shop.gathered(requests).await;
    // Whichever came first, all of its kind get its answer, and the others are told so. Who comes while it is under way
    // may be told that.
    let different = answers.pop().unwrap();
    let placed: Vec<_> = answers.iter().filter(|it| it.status == 201).collect();
    let others: Vec<u16> = answers.iter().map(|it| it.status.as_u16()).collect();
    match different.status.as_u16() {
        201 => assert!(
            others.iter().all(|it| [409, 422].contains(it)),
            "{others:?}"
        ),
        other => {
            assert!([409, 422].contains(&other), "{different:?}");
            assert!(
                others.iter().all(|it| [201, 409].contains(it)),
                "{others:?}"
            );
            assert!(!placed.is_empty(), "{others:?}");
        }
    }
    assert!(
        placed.iter().all(|it| it.text == placed[0].text),
        "{placed:?}"
    );
    assert_eq!(count(&shop, "orders").await, 2, "the gate's, and one");
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_many_times_on_an_order_that_is_refused_is_refused_each_time() {
    let shop = Shop::with(one_instance().variable("stock_policy", "reject")).await;
    let (user, scarce) = (shop.user(1).await, shop.product(10.0, 1).await);
    let refused = [
        (422, order_body(user, 999_999, 1), "unknown product"),
        (422, order_body(999_999, scarce, 1), "unknown user"),
        (409, order_body(user, scarce, 2), "insufficient stock"),
    ];
    for (status, body, detail) in refused {
        let requests = (0..12).map(|_| keyed(&shop, "key-1", &body)).collect();
        for answer in shop.gathered(requests).await {
            let said = answer.problem(status);
            assert!(said.contains(detail), "{said}");
        }
    }
    // The key is not used up.
    let good = keyed(&shop, "key-1", &order_body(user, scarce, 1));
    send(good).await.expect(201);
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_nobody_with_it() {
    let shop = Shop::with(one_instance()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 100).await);
    let body = order_body(user, product, 1);
    let gate = Gate::close(&shop).await;
    let orders: Vec<_> = (0..12)
        .map(|_| tokio::spawn(send(request(&shop, &body))))
        .collect();
    gate.wait_for(&shop, 12).await;
    // The first of them would lead the next group.
    for order in &orders[..6] {
        order.abort();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    gate.open().await;
    for order in orders.into_iter().skip(6) {
        order.await.unwrap().expect(201);
    }
    const IN_FLIGHT: &str = "store_requests_in_flight{component=\"orders\"}";
    eventually("nothing is under way", async || {
        shop.metric(IN_FLIGHT).await == 0.0
    })
    .await;
    let placed = count(&shop, "orders").await - 1;
    assert!((6..=12).contains(&placed), "{placed}");
    assert_eq!(shop.stock(product).await, 100 - placed);
    shop.assert_consistent().await;
    shop.order(user, product, 1).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_what_another_has_locked_waits_alone() {
    let shop = Shop::with(one_instance()).await;
    let user = shop.user(1).await;
    let (free, locked) = (shop.product(10.0, 100).await, shop.product(10.0, 100).await);
    let gate = Gate::close(&shop).await;
    let blocker = shop.hold_stock(locked).await;
    let held = tokio::spawn(send(request(&shop, &order_body(user, locked, 1))));
    let others: Vec<_> = (0..10)
        .map(|_| tokio::spawn(send(request(&shop, &order_body(user, free, 1)))))
        .collect();
    gate.open().await;
    for other in others {
        other.await.unwrap().expect(201);
    }
    assert!(!held.is_finished());
    // Nor do those who come later wait for it.
    shop.order(user, free, 1).await.expect(201);
    blocker.release().await;
    held.await.unwrap().expect(201);
    assert_eq!((shop.stock(free).await, shop.stock(locked).await), (89, 99));
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_placed_once_wherever_its_connection_breaks() {
    let (shop, relay) = relayed(one_instance()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let body = order_body(user, product, 1);
    let mut statements = 0;
    loop {
        let before = count(&shop, "orders").await;
        let gate = Gate::close(&shop).await;
        // None of the gate's own, and whichever come first: a busy machine may let some of the orders pass the gate.
        relay.cut_later_after(statements);
        let orders: Vec<_> = (0..6)
            .map(|at| match at {
                // Every other one has a key. Where that is looked up, nothing is tried again but by the client.
                0 | 2 | 4 => {
                    let key = format!("{statements}-{at}");
                    tokio::spawn(insist(keyed(&shop, &key, &body)))
                }
                _ => tokio::spawn(send(request(&shop, &body))),
            })
            .collect();
        gate.wait_for(&shop, 6).await;
        gate.open().await;
        for order in orders {
            let answer = order.await.unwrap().expect(201);
            let order = shop.get(&format!("/orders/{}", answer["order_id"])).await;
            order.expect(200);
        }
        let was_cut = !relay.cut_no_more();
        assert_eq!(count(&shop, "orders").await, before + 7, "{statements}");
        if !was_cut {
            break;
        }
        statements += 1;
    }
    // As many as a group with keys has. If a busy machine divided it, there were more.
    assert!(statements >= 11, "{statements}");
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_placed_once_whatever_becomes_of_its_commit() {
    let (shop, relay) = relayed(one_instance()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let body = order_body(user, product, 1);
    let faults = [Fault::AnswerLost, Fault::CommitLost, Fault::Refused(1213)];
    for (round, fault) in faults.into_iter().enumerate() {
        let gate = Gate::close(&shop).await;
        // Not the gate's own, and whichever is the first: a busy machine may let some of them pass the gate.
        relay.break_next_commit(fault);
        let orders = (0..6).map(|at| match at {
            0 | 2 | 4 => keyed(&shop, &format!("{round}-{at}"), &body),
            _ => request(&shop, &body),
        });
        let orders: Vec<_> = orders.map(|order| tokio::spawn(send(order))).collect();
        gate.wait_for(&shop, 6).await;
        gate.open().await;
        for order in orders {
            order.await.unwrap().expect(201);
        }
        let placed = (round as i64 + 1) * 7;
        assert_eq!(count(&shop, "orders").await, placed, "{fault:?}");
        assert!(relay.broke_one(), "{fault:?}");
    }
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_right_however_far_they_lie_apart() {
    let store = DataStore::start_with_own_mariadb(env!("CARGO_TARGET_TMPDIR"));
    let store = store.await.unwrap();
    store.migrate(crate::support::host_binary()).unwrap();
    let relay = MysqlRelay::to(&store).await;
    // Whatever a statement writes, the next begins on another connection.
    let options = one_instance()
        .args(&["--mysql-pool-idle", "200ms"])
        .variable("mysql_address", relay.address());
    let shop = Shop::on(store, options).await;
    let products = [shop.product(1.0, 1000).await, shop.product(2.0, 1000).await];
    let users = [shop.user(1).await, shop.user(2).await];
    let mut mysql = shop.store.mysql().await.unwrap();
    for (increment, offset) in [(1, 1), (3, 2), (7, 5), (1, 1)] {
        let set = format!(
            "SET GLOBAL auto_increment_increment = {increment}, GLOBAL auto_increment_offset = {offset}"
        );
        mysql.query_drop(set).await.unwrap();
        // Those that are open keep what they have.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let place_ten = async || {
            let before = relay.commits();
            let wanted: Vec<_> = (0..10_i64)
                .map(|at| (users[at as usize % 2], products[at as usize % 2], at + 1))
                .collect();
            let orders = wanted.iter().map(|&(user, product, quantity)| {
                request(&shop, &order_body(user, product, quantity))
            });
            let answers = shop.gathered(orders.collect()).await;
            for (answer, (user, product, quantity)) in answers.into_iter().zip(wanted) {
                let order = format!("/orders/{}", answer.expect(201)["order_id"]);
                let order = shop.get(&order).await.expect(200);
                assert_eq!(order["user_id"], user);
                assert_eq!(order["items"][0]["product_id"], product);
                assert_eq!(order["items"][0]["quantity"], quantity);
            }
            // Three commits are the gate's.
            relay.commits() - before - 3
        };
        place_ten().await;
        // The instance has seen how far they lie apart now. Again, as a busy machine may divide any group.
        eventually("groups are whole again", async || place_ten().await <= 3).await;
    }
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_a_group_goes_alone() {
    let bounds = one_instance()
        .variable("order_group_max_orders", "4")
        .variable("order_group_max_items", "2")
        .variable("order_group_max_bytes", "200");
    let (shop, relay) = relayed(bounds).await;
    let user = shop.user(1).await;
    let mut products = Vec::new();
    for _ in 0..3 {
        products.push(shop.product(1.0, 100).await);
    }
    let items: Vec<_> = products
        .iter()
        .map(|product| json!({"product_id": product, "quantity": 1}))
        .collect();
    let many = json!({"user_id": user, "items": items});
    let same: Vec<_> = (0..20).map(|_| items[0].clone()).collect();
    let long = json!({"user_id": user, "items": same});
    let small = order_body(user, products[0], 1);
    let requests = [&many, &small, &long, &small, &small, &small, &small];
    let requests = requests.map(|body| request(&shop, body));
    let before = relay.commits();
    for answer in shop.gathered(requests.into()).await {
        answer.expect(201);
    }
    // Three are the gate's. Each large one has its own, and two small ones have as many lines as a group may have. More is
    // what a busy machine makes of it.
    let commits = relay.commits() - before - 3;
    assert!(commits >= 5, "{commits}");
    assert_eq!(shop.stock(products[0]).await, 100 - 1 - 20 - 5);
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_bound_is_said_in_one_line() {
    for (variable, value) in [
        ("order_group_max_orders", "0"),
        ("order_group_max_items", "many"),
        ("order_group_max_bytes", "99999999999999999999"),
    ] {
        let shop = Shop::with(options().variable(variable, value)).await;
        let (user, product) = (shop.user(1).await, shop.product(1.0, 1).await);
        shop.order(user, product, 1).await.problem(503);
        let lines = || {
            let log = shop.host.log();
            let lines = log.lines().filter(|line| line.contains(variable));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        eventually("it is in the log", async || !lines().is_empty()).await;
        let lines = lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains(value) && lines[0].contains("allowed"),
            "{lines:?}"
        );
    }
}
