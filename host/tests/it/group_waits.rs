//! Who of a group waits for whom, and who does not.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::DataStore;
use tokio::task::JoinHandle;

use crate::group_orders::{count, keyed, one_instance, relayed, request};
use crate::mysql_relay::{Fault, MysqlRelay};
use crate::support::{
    Answer, Gate, PATIENCE, Shop, eventually, options, order_body, send, try_send,
};

/// Waits for an answer that must come while something else is still held up.
async fn soon(order: JoinHandle<Answer>) -> Answer {
    let answer = tokio::time::timeout(PATIENCE, order).await;
    answer.expect("it waits for somebody else").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_waits_for_the_order_with_its_key_and_for_no_other() {
    let shop = Shop::with(one_instance()).await;
    let user = shop.user(1).await;
    let (free, locked) = (shop.product(10.0, 100).await, shop.product(10.0, 100).await);
    let gate = Gate::close(&shop).await;
    let blocker = shop.hold_stock(locked).await;
    let held = tokio::spawn(send(request(&shop, &order_body(user, locked, 1))));
    let body = order_body(user, free, 1);
    let twice: Vec<_> = (0..2)
        .map(|_| tokio::spawn(send(keyed(&shop, "key-1", &body))))
        .collect();
    gate.wait_for(&shop, 3).await;
    gate.open().await;
    let mut placed = Vec::new();
    for order in twice {
        placed.push(soon(order).await.expect(201));
    }
    assert_eq!(placed[0], placed[1]);
    assert!(!held.is_finished());
    blocker.release().await;
    held.await.unwrap().expect(201);
    assert_eq!((shop.stock(free).await, shop.stock(locked).await), (99, 99));
    assert_eq!(count(&shop, "orders").await, 3, "the gate's, and two");
    shop.assert_consistent().await;
}

/// The group as a whole fails then, and each of its orders goes on without the others.
#[tokio::test(flavor = "multi_thread")]
async fn who_finds_its_key_taken_waits_for_no_other_order_of_its_group() {
    let shop = Shop::with(one_instance()).await;
    let user = shop.user(1).await;
    let other = shop.store.host(options()).await.unwrap();
    let mut round = 0;
    eventually("all wait for the gate", async || {
        round += 1;
        let key = format!("key-{round}");
        let (free, locked) = (shop.product(10.0, 100).await, shop.product(10.0, 100).await);
        let gate = Gate::close(&shop).await;
        let blocker = shop.hold_stock(locked).await;
        let held = tokio::spawn(send(request(&shop, &order_body(user, locked, 1))));
        let body = order_body(user, free, 1);
        let late = tokio::spawn(send(keyed(&shop, &key, &body)));
        gate.wait_for(&shop, 2).await;
        let first = shop.client.post(other.url("/orders")).json(&body);
        let first = tokio::spawn(send(first.header("idempotency-key", &key)));
        // Behind a group that has passed the gate, and then waits for the locked stock, it would wait as well.
        let is_placed = async {
            while !first.is_finished() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let is_placed = tokio::time::timeout(Duration::from_secs(1), is_placed).await;
        if !gate.open().await || is_placed.is_err() {
            // On a busy machine. Another round, of which nobody has passed the gate, shows it.
            blocker.release().await;
            futures::future::join_all([held, late, first]).await;
            return false;
        }
        assert_eq!(soon(late).await.expect(201), soon(first).await.expect(201));
        assert!(!held.is_finished());
        blocker.release().await;
        held.await.unwrap().expect(201);
        assert_eq!((shop.stock(free).await, shop.stock(locked).await), (99, 99));
        true
    })
    .await;
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_hangs_holds_up_its_own_group_only() {
    let (shop, relay) = relayed(one_instance()).await;
    let users = [shop.user(1).await, shop.user(2).await];
    let products = [shop.product(10.0, 100).await, shop.product(10.0, 100).await];
    relay.break_next_commit(Fault::Held);
    let hanging = tokio::spawn(send(request(&shop, &order_body(users[0], products[0], 1))));
    eventually("the commit hangs", async || relay.broke_one()).await;
    for _ in 0..3 {
        let next = request(&shop, &order_body(users[1], products[1], 1));
        soon(tokio::spawn(send(next))).await.expect(201);
    }
    assert!(!hanging.is_finished());
    relay.mend();
    hanging.await.unwrap().expect(201);
    assert_eq!(count(&shop, "orders").await, 4);
    let stocks = (shop.stock(products[0]).await, shop.stock(products[1]).await);
    assert_eq!(stocks, (99, 97));
    shop.assert_consistent().await;
}

/// If the next writer of the stock had the same turn at it, a mark that came late would pass for the next writer's.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_fails_leaves_a_mark_that_is_nobody_elses() {
    let (shop, relay) = relayed(one_instance()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 100).await);
    let order = |shop: &Shop| {
        let order = request(shop, &order_body(user, product, 1));
        tokio::spawn(try_send(order))
    };
    relay.break_next_commit(Fault::Held);
    let failing = order(&shop);
    eventually("the commit hangs", async || relay.broke_one()).await;
    let first = turn(&shop, product).await;
    shop.host.kill();
    assert!(failing.await.unwrap().is_err());
    // Its transaction ends with its connection.
    drop(relay);

    let relay = MysqlRelay::to(&shop.store).await;
    let options = one_instance().variable("mysql_address", relay.address());
    let shop = Shop::on(shop.store, options).await;
    relay.break_next_commit(Fault::Held);
    let placed = order(&shop);
    eventually("the commit hangs", async || relay.broke_one()).await;
    let second = turn(&shop, product).await;
    assert!(first.is_some() && second.is_some());
    assert_ne!(first, second);
    relay.mend();
    placed.await.unwrap().unwrap().expect(201);
    assert_eq!(shop.stock(product).await, 99);
}

/// Who may write a product's stock in Redis.
async fn turn(shop: &Shop, product: i64) -> Option<String> {
    let mut redis = shop.store.redis().await.unwrap();
    let mut command = redis::cmd("HGET");
    let command = command.arg(format!("stock:{product}")).arg("turn");
    command.query_async(&mut redis).await.unwrap()
}

/// An order of one of each product.
fn of_each(user: i64, products: &[i64]) -> Value {
    let item = |product| json!({"product_id": product, "quantity": 1});
    let items: Vec<_> = products.iter().map(item).collect();
    json!({"user_id": user, "items": items})
}

#[tokio::test(flavor = "multi_thread")]
async fn small_orders_do_not_wait_for_a_large_one_nor_a_large_one_for_all_small_ones() {
    let shop = Shop::with(one_instance().variable("order_group_max_items", "8")).await;
    let (user, other) = (shop.user(1).await, shop.user(2).await);
    let mut products = Vec::new();
    for _ in 0..12 {
        products.push(shop.product(1.0, 1000).await);
    }
    // It is too large for a group, and its last product is held up.
    let blocker = shop.hold_stock(products[11]).await;
    let large = tokio::spawn(send(request(&shop, &of_each(user, &products[1..]))));
    let small: Vec<_> = (0..40)
        .map(|_| tokio::spawn(send(request(&shop, &order_body(other, products[0], 1)))))
        .collect();
    for small in small {
        soon(small).await.expect(201);
    }
    assert!(!large.is_finished());
    blocker.release().await;
    large.await.unwrap().expect(201);

    // As large as a group may be, it has one for itself when its turn comes, while small ones keep coming.
    let body = order_body(other, products[0], 1);
    let small = async {
        loop {
            let some = (0..8).map(|_| send(request(&shop, &body)));
            for answer in futures::future::join_all(some).await {
                answer.expect(201);
            }
        }
    };
    let large = soon(tokio::spawn(send(request(
        &shop,
        &of_each(user, &products[..8]),
    ))));
    match futures::future::select(std::pin::pin!(large), std::pin::pin!(small)).await {
        futures::future::Either::Left((large, _)) => drop(large.expect(201)),
        futures::future::Either::Right((never, _)) => never,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_placed_once_if_one_of_its_orders_is_gone_before_its_commit_is_looked_up() {
    let (shop, relay) = relayed(one_instance()).await;
    let product = shop.product(10.0, 1000).await;
    // One that has its own way to MySQL.
    let other = shop.store.host(options()).await.unwrap();
    let mut was_whole = false;
    for number in 0..20 {
        let user = shop.user(number).await;
        let body = order_body(user, product, 1);
        let gate = Gate::close(&shop).await;
        let before = relay.commits();
        relay.break_next_commit(Fault::AnswerAndServerLost);
        let orders: Vec<_> = (0..6)
            .map(|_| tokio::spawn(send(request(&shop, &body))))
            .collect();
        gate.wait_for(&shop, 6).await;
        gate.open().await;
        let mut committed = Vec::new();
        eventually("a broken group is committed", async || {
            committed = orders_of(&shop.store, user).await;
            relay.broke_one() && !committed.is_empty()
        })
        .await;
        // One commit is the gate's.
        was_whole = committed.len() == orders.len() && relay.commits() - before == 2;
        if !was_whole {
            // On a busy machine. Those that were not in the broken group may find no MySQL.
            relay.mend();
            futures::future::join_all(orders).await;
            continue;
        }
        let first = committed[0];
        let url = other.url(&format!("/orders/{first}"));
        let gone = send(shop.client.delete(url)).await.expect(200);
        assert_eq!(gone, json!({"deleted": true}));
        relay.mend();
        let mut ids = Vec::new();
        for order in orders {
            let placed = order.await.unwrap().expect(201);
            ids.push(placed["order_id"].as_i64().unwrap());
        }
        ids.sort_unstable();
        assert_eq!(ids, committed);
        assert_eq!(orders_of(&shop.store, user).await, committed[1..]);
        break;
    }
    assert!(was_whole, "every group was divided");
    shop.assert_consistent().await;
}

/// The ids of a user's orders.
async fn orders_of(store: &DataStore, user: i64) -> Vec<i64> {
    use mysql_async::prelude::Queryable;
    let mut mysql = store.mysql().await.unwrap();
    let ids = "SELECT id FROM orders WHERE user_id = ? ORDER BY id";
    mysql.exec(ids, (user,)).await.unwrap()
}
