//! A host is stopped (SIGSTOP) in the middle of its work, others go on, and then it goes on too: nothing comes back.

use std::process::Command;

use mysql_async::prelude::Queryable;
use serde_json::{Value, json};
use testbed::Host;

use crate::operator::{TOKEN, with_token};
use crate::relay::Relay;
use crate::support::{Shop, empty_store, eventually, options, order_body, send, try_send};

pub(crate) const SELLERS: &str = "/orders/reports/best-sellers";

pub(crate) fn without_refresh() -> testbed::HostOptions {
    with_token(options()).variable("report_refresh_seconds", "3600")
}

fn signal(host: &Host, name: &str) {
    let status = Command::new("kill")
        .args([name, &host.process().id().to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// A shop, and a second host that reaches Redis through a relay.
async fn shop_and_other() -> (Shop, Host, Relay) {
    let shop = Shop::with(without_refresh()).await;
    shop.refreshed().await;
    let redis = format!("127.0.0.1:{}", shop.store.redis_server.port());
    let relay = Relay::to(&redis).await;
    let other = without_refresh().variable("redis_address", relay.address());
    let other = shop.store.host(other).await.unwrap();
    (shop, other, relay)
}

/// Has `other` stop with what it holds, does `meanwhile`, and lets it go on to the end of `request`.
pub(crate) async fn paused<T>(
    other: &Host,
    relay: &Relay,
    request: reqwest::RequestBuilder,
    meanwhile: impl Future<Output = T>,
) -> T {
    let request = tokio::spawn(try_send(request));
    relay.holds().await;
    signal(other, "-STOP");
    let done = meanwhile.await;
    signal(other, "-CONT");
    relay.release();
    // It may have run out of time.
    _ = request.await.unwrap();
    done
}

pub(crate) async fn get(shop: &Shop, host: &Host, path: &str) -> (u16, Value) {
    let answer = send(shop.client.get(host.url(path))).await;
    (answer.status.as_u16(), answer.json())
}

/// A command of the script of orders and stock, as it is sent to Redis.
fn sent(what: &str) -> String {
    format!("\r\n${}\r\n{what}\r\n", what.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_heal_does_not_bring_back_a_deleted_order() {
    let (shop, other, relay) = shop_and_other().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let order = shop.order(user, product, 1).await.expect(201)["order_id"].clone();
    let path = format!("/orders/{order}");
    let mut redis = shop.store.redis().await.unwrap();
    let key = format!("order:{order}");
    let mut forget = redis::cmd("DEL");
    forget.arg(&key).exec_async(&mut redis).await.unwrap();
    // So that it trusts Redis.
    eventually("the other reads from Redis", async || {
        get(&shop, &other, &format!("/orders/{order}")).await;
        let mut forget = redis::cmd("DEL");
        let found: i64 = forget.arg(&key).query_async(&mut redis).await.unwrap();
        found == 1
    })
    .await;
    relay.hold(&sent("put"));
    let request = shop.client.get(other.url(&path));
    paused(&other, &relay, request, async {
        shop.delete(&path).await.expect(200);
    })
    .await;
    for host in [&shop.host, &other] {
        assert_eq!(get(&shop, host, &path).await.0, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_after_a_commit_does_not_bring_back_old_stock() {
    let (shop, other, relay) = shop_and_other().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 9).await);
    let stock = format!("/stocks/{product}");
    for step in ["move", "mark"] {
        shop.post("/stocks", &json!({"product_id": product, "quantity": 9}))
            .await
            .expect(201);
        // So that both trust Redis.
        for host in [&shop.host, &other] {
            get(&shop, host, &stock).await;
        }
        relay.hold(&sent(step));
        let body = order_body(user, product, 1);
        let request = shop.client.post(other.url("/orders")).json(&body);
        let is_committed = step == "move";
        paused(&other, &relay, request, async {
            let left = shop.stock(product).await;
            assert_eq!(left, if is_committed { 8 } else { 9 });
            if is_committed {
                shop.order(user, product, 2).await.expect(201);
                assert_eq!(shop.stock(product).await, 6);
            }
        })
        .await;
        for host in [&shop.host, &other] {
            let expected = in_mysql(&shop, product).await;
            assert_eq!(get(&shop, host, &stock).await.1["quantity"], expected);
        }
    }
}

pub(crate) async fn in_mysql(shop: &Shop, product: i64) -> i64 {
    let mut mysql = shop.store.mysql().await.unwrap();
    let statement = "SELECT quantity FROM stocks WHERE product_id = ?";
    let found: Option<i64> = mysql.exec_first(statement, (product,)).await.unwrap();
    found.unwrap()
}

/// The refresher has read the totals, and writes the report after another has written a newer one.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_refresh_does_not_replace_a_newer_report() {
    let (shop, other, relay) = shop_and_other().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let refresh = |host: &Host| {
        let refresh = shop.client.post(host.admin_url("/refresh"));
        refresh.bearer_auth(TOKEN)
    };
    relay.hold("{report:best-sellers}:number");
    let expected = json!([{"product_id": product, "quantity_sold": 1}]);
    paused(&other, &relay, refresh(&other), async {
        shop.order(user, product, 1).await.expect(201);
        eventually("the lease has run out", async || {
            try_send(refresh(&shop.host)).await.unwrap().status == 200
        })
        .await;
        assert_eq!(shop.get(SELLERS).await.expect(200), expected);
    })
    .await;
    for _ in 0..5 {
        assert_eq!(get(&shop, &other, SELLERS).await.1, expected);
        assert_eq!(shop.get(SELLERS).await.expect(200), expected);
    }
}

/// As `mysqldump` and its reading back would do it.
async fn copy(shop: &Shop, from: &str, to: &str) {
    let mut mysql = shop.store.mysql().await.unwrap();
    mysql
        .query_drop("SET foreign_key_checks = 0")
        .await
        .unwrap();
    for table in [
        "products",
        "orders",
        "order_items",
        "stocks",
        "user_totals",
        "product_totals",
        "cache_state",
        "cache_beat",
        "cache_doubts",
    ] {
        let (from, to) = (format!("{from}{table}"), format!("{to}{table}"));
        for statement in [
            format!("CREATE TABLE IF NOT EXISTS {to} LIKE {from}"),
            format!("DELETE FROM {to}"),
            format!("INSERT INTO {to} SELECT * FROM {from}"),
        ] {
            mysql.query_drop(statement).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_is_believed() {
    let shop = Shop::on(empty_store().await, options()).await;
    shop.refreshed().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 9).await);
    shop.order(user, product, 1).await.expect(201);
    copy(&shop, "", "saved_").await;
    let beat = async || {
        let mut mysql = shop.store.mysql().await.unwrap();
        let beat: Option<i64> = mysql
            .query_first("SELECT beat FROM cache_beat")
            .await
            .unwrap();
        beat.unwrap_or_default()
    };
    let before = beat().await;
    let order = shop.order(user, product, 2).await.expect(201)["order_id"].clone();
    let path = format!("/orders/{order}");
    shop.get(&path).await.expect(200);
    assert_eq!(shop.stock(product).await, 6);
    eventually("a refresh or two", async || beat().await >= before + 2).await;
    copy(&shop, "saved_", "").await;
    eventually("the restored stock is shown", async || {
        shop.stock(product).await == 8
    })
    .await;
    assert_eq!(shop.get(&path).await.status, 404);
    // And what happens from now on.
    shop.order(user, product, 4).await.expect(201);
    for _ in 0..20 {
        assert_eq!(shop.stock(product).await, 4);
    }
    eventually("the report of the restored orders", async || {
        shop.get(SELLERS).await.expect(200) == json!([{"product_id": product, "quantity_sold": 5}])
    })
    .await;
}
