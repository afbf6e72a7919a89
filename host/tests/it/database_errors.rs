//! Every row of `wit/mysql-errors.csv`, on a real server: a trigger raises the error inside of an order, or a relay
//! gives it as the answer to the order's commit.

use mysql_async::prelude::Queryable;
use reqwest::Method;

use crate::group_orders::{count, one_instance, relayed};
use crate::mysql_relay::Fault;
use crate::outcomes::broken;
use crate::support::{Shop, UNAVAILABLE, eventually, options, order_body};

const TABLE: &str = include_str!("../../../wit/mysql-errors.csv");
const OPENED: &str = "store_mysql_connections_opened_total{component=\"orders\"}";

/// How often a transaction is tried.
const ATTEMPTS: u64 = 5;

struct Row {
    code: u16,
    is_worth_a_retry: bool,
    is_closed: bool,
    is_undone: bool,
    status: u16,
}

fn rows() -> Vec<Row> {
    TABLE
        .lines()
        .skip(1)
        .map(|line| {
            let columns: Vec<&str> = line.split(',').collect();
            Row {
                code: columns[0].parse().unwrap(),
                is_worth_a_retry: columns[3] == "yes",
                is_closed: columns[4] == "closed",
                is_undone: columns[5] == "undone",
                status: columns[6].parse().unwrap(),
            }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_has_its_status_its_retries_and_its_end_of_the_session() {
    // One connection, so that the next attempt gets the one of the attempt before, if that was kept.
    let shop = Shop::with(options().arg("--mysql-pool-size").arg("1")).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    shop.order(user, product, 1).await.expect(201);
    let mut mysql = shop.store.mysql().await.unwrap();
    // What is written to it stays when the transaction is rolled back.
    let tries = "CREATE TABLE tries (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE = MyISAM";
    mysql.query_drop(tries).await.unwrap();
    for row in rows() {
        let code = row.code;
        let trigger = format!(
            "CREATE TRIGGER raises BEFORE INSERT ON orders FOR EACH ROW BEGIN INSERT INTO tries VALUES (); \
             SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'raised'; END"
        );
        mysql.query_drop("TRUNCATE tries").await.unwrap();
        mysql.query_drop(trigger).await.unwrap();
        let before = shop.metric(OPENED).await;
        let answer = shop.order(user, product, 1).await;
        assert_eq!(answer.status.as_u16(), row.status, "{code}: {answer:?}");
        if row.status == 503 {
            assert!(
                answer.headers.contains_key("retry-after"),
                "{code}: {answer:?}"
            );
        }
        let tried: Option<u64> = mysql
            .query_first("SELECT COUNT(*) FROM tries")
            .await
            .unwrap();
        let expected = if row.is_worth_a_retry { ATTEMPTS } else { 1 };
        assert_eq!(tried, Some(expected), "{code}");
        // Once it is over, the next order is as any other.
        mysql.query_drop("DROP TRIGGER raises").await.unwrap();
        shop.order(user, product, 1).await.expect(201);
        let opened = shop.metric(OPENED).await - before;
        let expected = if row.is_closed { expected } else { 0 };
        assert_eq!(opened, expected as f64, "{code}: connections opened");
    }
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_at_a_commit_leaves_one_order_or_none() {
    let (shop, relay) = relayed(options()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let order = || {
        let body = order_body(user, product, 1);
        shop.request(Method::POST, "/orders").json(&body)
    };
    let mut placed = 0;
    for row in rows() {
        let code = row.code;
        let refused = broken(&relay, Fault::Refused(code), order()).await;
        // Where the error says that nothing was done, its row says whether all is tried again. Otherwise it is looked
        // up that nothing was done, and then all is tried again.
        if row.is_undone && !row.is_worth_a_retry {
            assert_eq!(refused.status.as_u16(), row.status, "{code}: {refused:?}");
        } else {
            refused.expect(201);
            placed += 1;
        }
        assert_eq!(count(&shop, "orders").await, placed, "{code}");
        if !row.is_undone {
            let done = broken(&relay, Fault::DoneButRefused(code), order()).await;
            let id = done.expect(201)["order_id"].clone();
            placed += 1;
            assert_eq!(count(&shop, "orders").await, placed, "{code}: placed twice");
            shop.get(&format!("/orders/{id}")).await.expect(200);
        }
    }
    assert_eq!(shop.stock(product).await, 1000 - placed);
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_of_itself_divides_no_group() {
    let shop = Shop::with(one_instance()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let mut mysql = shop.store.mysql().await.unwrap();
    let tries = "CREATE TABLE tries (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE = MyISAM";
    mysql.query_drop(tries).await.unwrap();
    // Read-only, no quorum (Galera), no room on the disk; and how often all is tried.
    for (code, attempts) in [
        (1290, ATTEMPTS),
        (1836, ATTEMPTS),
        (1047, ATTEMPTS),
        (1021, 1),
    ] {
        // Not for the order that the others gather behind.
        let trigger = format!(
            "CREATE TRIGGER raises BEFORE INSERT ON orders FOR EACH ROW \
             IF NEW.user_id = {user} THEN INSERT INTO tries VALUES (); \
             SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'raised'; END IF"
        );
        mysql.query_drop(trigger).await.unwrap();
        let body = order_body(user, product, 1);
        // Again, as a busy machine may divide any group.
        eventually(&format!("{code} divides no group"), async || {
            mysql.query_drop("TRUNCATE tries").await.unwrap();
            let orders = (0..16).map(|_| shop.request(Method::POST, "/orders").json(&body));
            for answer in shop.gathered(orders.collect()).await {
                assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
                assert_eq!(answer.problem(503), UNAVAILABLE);
            }
            let tried: Option<u64> = mysql
                .query_first("SELECT COUNT(*) FROM tries")
                .await
                .unwrap();
            // Some may have come too late for the group, and for the next. Divided down to each order it would be 31
            // groups.
            (attempts..=3 * attempts).contains(&tried.unwrap())
        })
        .await;
        mysql.query_drop("DROP TRIGGER raises").await.unwrap();
    }
    shop.order(user, product, 1).await.expect(201);
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_nobody_knows_is_a_500_and_its_session_is_reset() {
    let shop = Shop::with(options().arg("--mysql-pool-size").arg("1")).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let mut mysql = shop.store.mysql().await.unwrap();
    let trigger = "CREATE TRIGGER raises BEFORE INSERT ON orders FOR EACH ROW \
                   SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30001, MESSAGE_TEXT = 'raised'";
    mysql.query_drop(trigger).await.unwrap();
    let failed = shop.order(user, product, 1).await;
    assert_eq!(failed.problem(500), "something went wrong on our side");
    mysql.query_drop("DROP TRIGGER raises").await.unwrap();
    shop.order(user, product, 1).await.expect(201);
    shop.assert_consistent().await;
}
