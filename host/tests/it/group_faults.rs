//! What goes wrong with one order of a group, or with the instance that has it: no other order is the worse for it, and each
//! is whole or absent.

use mysql_async::prelude::Queryable;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use testbed::Guest;
use tokio::task::JoinHandle;

use crate::group_orders::{count, keyed, one_instance, request};
use crate::mysql_relay::{Fault, MysqlRelay};
use crate::operator::operated;
use crate::support::{Answer, Shop, empty_store, eventually, order_body, send};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_fails_by_itself_fails_alone() {
    const ORDERS: usize = 16;
    /// The place of the one that fails.
    const BAD: usize = 5;
    /// Transactions that it was in: with all, with half of them, a quarter, an eighth, and alone.
    const DIVISIONS: u64 = 5;

    let shop = Shop::with(one_instance()).await;
    let (user, bad_user) = (shop.user(1).await, shop.user(2).await);
    let (product, bad_product) = (
        shop.product(10.0, 1000).await,
        shop.product(10.0, 1000).await,
    );
    let good = order_body(user, product, 1);
    let bad = order_body(bad_user, bad_product, 1);
    let mut mysql = shop.store.mysql().await.unwrap();
    // What is written to it stays when the transaction is rolled back.
    let tries = "CREATE TABLE tries (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE = MyISAM";
    mysql.query_drop(tries).await.unwrap();
    let mut rounds = 0;
    for (table, is_bad) in [
        ("orders", format!("NEW.user_id = {bad_user}")),
        ("order_items", format!("NEW.product_id = {bad_product}")),
    ] {
        // Nobody knows this error: it is not about the server, and nothing is tried again for it.
        let trigger = format!(
            "CREATE TRIGGER raises BEFORE INSERT ON {table} FOR EACH ROW \
             IF {is_bad} THEN INSERT INTO tries VALUES (); \
             SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30001, MESSAGE_TEXT = 'raised'; END IF"
        );
        mysql.query_drop(trigger).await.unwrap();
        // Again, as a busy machine may divide any group.
        eventually("the group is whole at first", async || {
            rounds += 1;
            mysql.query_drop("TRUNCATE tries").await.unwrap();
            let before = count(&shop, "orders").await;
            let orders = (0..ORDERS).map(|at| match at {
                BAD => keyed(&shop, "bad", &bad),
                _ if at.is_multiple_of(3) => keyed(&shop, &format!("{rounds}-{at}"), &good),
                _ => request(&shop, &good),
            });
            let mut ids = Vec::new();
            for (at, answer) in shop
                .gathered(orders.collect())
                .await
                .into_iter()
                .enumerate()
            {
                match at {
                    BAD => drop(answer.problem(500)),
                    _ => ids.push(answer.expect(201)["order_id"].as_i64().unwrap()),
                }
            }
            let again = keyed(&shop, &format!("{rounds}-0"), &good);
            assert_eq!(send(again).await.expect(201)["order_id"], ids[0], "{table}");
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), ORDERS - 1, "{table}");
            // One more is what the others waited for.
            let placed = count(&shop, "orders").await - before;
            assert_eq!(placed, ORDERS as i64, "{table}");
            let tried = "SELECT COUNT(*) FROM tries";
            let tried: Option<u64> = mysql.query_first(tried).await.unwrap();
            tried == Some(DIVISIONS)
        })
        .await;
        mysql.query_drop("DROP TRIGGER raises").await.unwrap();
    }
    // It has left nothing behind, and its key is not used up.
    send(keyed(&shop, "bad", &bad)).await.expect(201);
    assert_eq!(shop.stock(bad_product).await, 999);
    let placed = rounds * (ORDERS as i64 - 1);
    assert_eq!(shop.stock(product).await, 1000 - placed);
    shop.assert_consistent().await;
}

/// Sends orders until the commit of some is broken, and gives all of them, by their numbers.
async fn until_one_is_broken(
    relay: &MysqlRelay,
    order: impl Fn(usize) -> RequestBuilder,
) -> Vec<JoinHandle<Answer>> {
    const AT_ONCE: usize = 16;
    let mut orders: Vec<JoinHandle<Answer>> = Vec::new();
    eventually("a commit is broken", async || {
        // All of them in one group, on a busy machine, would be one commit only.
        if orders.iter().all(JoinHandle::is_finished) {
            let next = orders.len()..orders.len() + AT_ONCE;
            orders.extend(next.map(|number| tokio::spawn(send(order(number)))));
        }
        relay.broke_one()
    })
    .await;
    orders
}

/// Whether an order was cut off. One that was tried again meets its own key, as long as the transaction before lives.
fn is_cut(answer: &Answer) -> bool {
    answer.status.is_server_error() || answer.status == 409 && answer.text.contains("under way")
}

/// Repeats an order that has a key until it is placed: the one before it may not have ended yet.
async fn insist(order: RequestBuilder) -> Value {
    let mut placed = None;
    eventually("the order is placed", async || {
        let answer = send(order.try_clone().unwrap()).await;
        placed = (answer.status == 201).then(|| answer.json());
        placed.is_some()
    })
    .await;
    placed.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_ends_leaves_each_order_of_its_group_whole_or_absent() {
    // Not committed yet; committed, and nobody knows.
    for fault in [Fault::Held, Fault::AnswerHeld] {
        let store = empty_store().await;
        let relay = MysqlRelay::to(&store).await;
        let options = operated(&store)
            .args(&["--instance-concurrency", "256"])
            .args(&["--swap-drain-timeout", "300ms"])
            .variable("mysql_address", relay.address());
        let shop = Shop::on(store, options).await;
        let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
        let body = order_body(user, product, 1);
        let has_key = |number: usize| number.is_multiple_of(2);
        let order = |number: usize| match has_key(number) {
            true => keyed(&shop, &number.to_string(), &body),
            false => request(&shop, &body),
        };
        // The first has nobody to wait for, and those that come meanwhile are the group.
        relay.break_commit_after(1, fault);
        let orders = until_one_is_broken(&relay, order).await;
        // Its instance is replaced, and has only so much time for what it has.
        let version = Guest::built("orders").unwrap().labelled("next");
        shop.swap("orders", version.into_bytes()).await.expect(200);
        shop.wait_freed("orders", 1).await;
        // The host has MySQL end the transaction. Whichever comes first, it ends.
        relay.mend();

        let mut told = Vec::new();
        for order in orders {
            let answer = order.await.unwrap();
            let is_placed = answer.status == 201;
            assert!(is_placed || is_cut(&answer), "{fault:?}: {answer:?}");
            told.push(is_placed.then(|| answer.json()));
        }
        assert!(told.contains(&None), "{fault:?}: no group was cut");
        for (number, told) in told.iter().enumerate().filter(|(at, _)| has_key(*at)) {
            let placed = insist(order(number)).await;
            assert!(
                told.as_ref().is_none_or(|told| *told == placed),
                "{fault:?}"
            );
            let again = send(order(number)).await.expect(201);
            assert_eq!(again, placed, "{fault:?}");
        }
        for told in told.iter().flatten() {
            let placed = shop.get(&format!("/orders/{}", told["order_id"])).await;
            placed.expect(200);
        }
        shop.order(user, product, 1).await.expect(201);
        // Each has one line of one piece.
        let placed = count(&shop, "orders").await;
        let keys = told.len().div_ceil(2);
        let sure = told.iter().enumerate();
        let sure = sure.filter(|(at, told)| has_key(*at) || told.is_some());
        let (least, most) = (sure.count() as i64 + 1, told.len() as i64 + 1);
        assert!(
            (least..=most).contains(&placed),
            "{fault:?}: {placed} orders of {least} to {most}"
        );
        assert_eq!(count(&shop, "idempotency_keys").await, keys as i64);
        assert_eq!(count(&shop, "order_items").await, placed, "{fault:?}");
        assert_eq!(shop.stock(product).await, 1000 - placed, "{fault:?}");
        shop.assert_consistent().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_over_the_time_limit_with_a_group_is_told_so_and_later_orders_go_on() {
    // What the test needs besides goes by a host that has time.
    let shop = Shop::open().await;
    let relay = MysqlRelay::to(&shop.store).await;
    let hasty = one_instance()
        .args(&["--request-timeout", "2s"])
        .variable("mysql_address", relay.address());
    let hasty = shop.store.host(hasty).await.unwrap();
    // Nobody waits for another's row.
    let mut bodies = Vec::new();
    for number in 0..17 {
        let (user, product) = (shop.user(number).await, shop.product(1.0, 1000).await);
        bodies.push(order_body(user, product, 1));
    }
    let later = bodies.pop().unwrap();
    let wish = |number: usize| {
        let body = &bodies[number % bodies.len()];
        (format!("key-{number}"), body)
    };
    let hastily = |key: &str, body: &Value| {
        let request = shop.client.request(Method::POST, hasty.url("/orders"));
        request.json(body).header("idempotency-key", key)
    };
    // The first has nobody to wait for, and those that come meanwhile are the group.
    relay.break_commit_after(1, Fault::Held);
    let orders = until_one_is_broken(&relay, |number| {
        let (key, body) = wish(number);
        hastily(&key, body)
    })
    .await;
    let all = orders.len();
    let mut late = Vec::new();
    let mut timed_out = 0;
    for (number, order) in orders.into_iter().enumerate() {
        let answer = order.await.unwrap();
        if answer.status == 201 {
            continue;
        }
        // On a busy machine any of them may be late, or not come to it.
        assert!(is_cut(&answer), "{answer:?}");
        timed_out += usize::from(answer.status == 504);
        late.push(number);
    }
    assert!(timed_out > 0, "{late:?}");
    for number in 0..3 {
        insist(hastily(&format!("later-{number}"), &later)).await;
    }
    relay.mend();
    // Late or not, each is placed once.
    for number in late {
        let (key, body) = wish(number);
        insist(keyed(&shop, &key, body)).await;
    }
    assert_eq!(count(&shop, "orders").await, all as i64 + 3);
    assert_eq!(count(&shop, "order_items").await, all as i64 + 3);
    shop.assert_consistent().await;
}
