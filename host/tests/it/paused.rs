//! A host is stopped (SIGSTOP) in the middle of its work, others go on, and then it goes on too: nothing comes back.

use mysql_async::prelude::Queryable;
use redis::AsyncCommands;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use testbed::Host;

use crate::operator::TOKEN;
use crate::other_host::{OtherHost, Step, without_refresh};
use crate::support::{Shop, empty_store, eventually, options, order_body, send, try_send};

pub(crate) const SELLERS: &str = "/orders/reports/best-sellers";

/// Commands of the script of orders and stock, as they are sent to Redis.
const READ: Step = Step::Redis("\r\n$4\r\nread\r\n");
const PUT: Step = Step::Redis("\r\n$3\r\nput\r\n");
const MARK: Step = Step::Redis("\r\n$4\r\nmark\r\n");
const MOVE: Step = Step::Redis("\r\n$4\r\nmove\r\n");
const DROP: Step = Step::Redis("\r\n$4\r\ndrop\r\n");

/// In the order in which a reader of an order comes to them: it looks it up in Redis, reads it from MySQL, and writes
/// it to Redis.
const OF_AN_ORDER: [Step; 3] = [READ, Step::Mysql("LEFT JOIN order_items"), PUT];

/// The same for a stock.
const OF_A_STOCK: [Step; 3] = [READ, Step::Mysql("LEFT JOIN stocks"), PUT];

pub(crate) async fn get(shop: &Shop, host: &Host, path: &str) -> (u16, Value) {
    let answer = send(shop.client.get(host.url(path))).await;
    (answer.status.as_u16(), answer.json())
}

/// A shop, and a second host.
async fn shop_and_other() -> (Shop, OtherHost) {
    let shop = Shop::with(without_refresh()).await;
    shop.refreshed().await;
    let other = OtherHost::of(&shop).await;
    (shop, other)
}

/// Returns once the reader trusts Redis, and Redis does not have what it reads.
async fn finds_nothing(shop: &Shop, key: &str, read: &RequestBuilder) {
    let mut redis = shop.store.redis().await.unwrap();
    let mut deleted = 0;
    eventually("it writes to Redis what it has read", async || {
        send(read.try_clone().unwrap()).await;
        let count: i64 = redis.del(key).await.unwrap();
        deleted += count;
        // What is deleted first may have been written by others.
        deleted == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_stopped_does_not_bring_back_a_deleted_order() {
    let (shop, other) = shop_and_other().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    for step in OF_AN_ORDER {
        let order = shop.order(user, product, 1).await.expect(201)["order_id"].clone();
        let (path, key) = (format!("/orders/{order}"), format!("order:{order}"));
        let read = shop.client.get(other.host.url(&path));
        finds_nothing(&shop, &key, &read).await;
        other.forgets_statements_before(step).await;
        let meanwhile = async {
            shop.delete(&path).await.expect(200);
        };
        other.stops_at(step, read, meanwhile).await;
        for host in [&shop.host, &other.host, &shop.host] {
            assert_eq!(get(&shop, host, &path).await.0, 404, "{step:?}");
        }
    }
}

/// A read of one product's quantity.
type Reading = fn(&Shop, &Host, i64) -> RequestBuilder;

fn read_stock(shop: &Shop, host: &Host, product: i64) -> RequestBuilder {
    shop.client.get(host.url(&format!("/stocks/{product}")))
}

fn read_by_graphql(shop: &Shop, host: &Host, product: i64) -> RequestBuilder {
    let query = format!("{{ quantity: stockLevel(productId: \"{product}\") }}");
    let request = shop.client.post(host.url("/stocks/graphql-query"));
    request.json(&json!({"query": query}))
}

/// The quantity in an answer to either kind of read.
async fn quantity(read: RequestBuilder) -> Value {
    let answer = send(read).await.expect(200);
    let found = answer.get("data").unwrap_or(&answer);
    found["quantity"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_stopped_does_not_bring_back_old_stock() {
    let (shop, other) = shop_and_other().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 100).await);
    let key = format!("stock:{product}");
    let mut redis = shop.store.redis().await.unwrap();
    for reading in [read_stock as Reading, read_by_graphql] {
        for step in OF_A_STOCK {
            // Once somebody reads the new stock before the reader goes on, and once nobody does.
            for is_read in [false, true] {
                let read = reading(&shop, &other.host, product);
                finds_nothing(&shop, &key, &read).await;
                other.forgets_statements_before(step).await;
                let meanwhile = async {
                    shop.order(user, product, 1).await.expect(201);
                    if is_read {
                        let left = in_mysql(&shop, product).await;
                        assert_eq!(shop.stock(product).await, left);
                    }
                };
                other.stops_at(step, read, meanwhile).await;
                let left = in_mysql(&shop, product).await;
                for host in [&shop.host, &other.host, &shop.host] {
                    let shown = quantity(reading(&shop, host, product)).await;
                    assert_eq!(shown, left, "{step:?}, read meanwhile: {is_read}");
                }
                let cached: Option<i64> = redis.hget(key.as_str(), "quantity").await.unwrap();
                assert!(cached.is_none_or(|cached| cached == left), "{cached:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_after_a_commit_does_not_bring_back_old_stock() {
    let (shop, other) = shop_and_other().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 9).await);
    let stock = format!("/stocks/{product}");
    for (step, is_committed) in [(MOVE, true), (MARK, false)] {
        shop.post("/stocks", &json!({"product_id": product, "quantity": 9}))
            .await
            .expect(201);
        // So that both trust Redis.
        for host in [&shop.host, &other.host] {
            get(&shop, host, &stock).await;
        }
        let body = order_body(user, product, 1);
        let request = shop.client.post(other.host.url("/orders")).json(&body);
        let meanwhile = async {
            let left = shop.stock(product).await;
            assert_eq!(left, if is_committed { 8 } else { 9 });
            if is_committed {
                shop.order(user, product, 2).await.expect(201);
                assert_eq!(shop.stock(product).await, 6);
            }
        };
        other.stops_at(step, request, meanwhile).await;
        for host in [&shop.host, &other.host] {
            let expected = in_mysql(&shop, product).await;
            assert_eq!(get(&shop, host, &stock).await.1["quantity"], expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_that_is_set_and_an_order_that_is_deleted_late_bring_nothing_back() {
    let (shop, other) = shop_and_other().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 9).await);
    let stock = format!("/stocks/{product}");
    let hosts = [&shop.host, &other.host];
    // So that both trust Redis.
    for host in hosts {
        get(&shop, host, &stock).await;
    }
    let set = |host: &Host, quantity: i64| {
        let body = json!({"product_id": product, "quantity": quantity});
        shop.client.post(host.url("/stocks")).json(&body)
    };
    let meanwhile = async {
        send(set(&shop.host, 5)).await.expect(201);
        assert_eq!(shop.stock(product).await, 5);
    };
    other.stops_at(PUT, set(&other.host, 7), meanwhile).await;
    for host in hosts {
        assert_eq!(get(&shop, host, &stock).await.1["quantity"], 5);
    }

    let order = shop.order(user, product, 1).await.expect(201)["order_id"].clone();
    let path = format!("/orders/{order}");
    for host in hosts {
        assert_eq!(get(&shop, host, &path).await.0, 200);
    }
    let delete = shop.client.delete(other.host.url(&path));
    let meanwhile = async {
        assert_eq!(shop.get(&path).await.status, 404);
        shop.order(user, product, 2).await.expect(201);
        assert_eq!(shop.stock(product).await, 3);
    };
    other.stops_at(DROP, delete, meanwhile).await;
    assert_eq!(in_mysql(&shop, product).await, 3);
    for host in hosts {
        assert_eq!(get(&shop, host, &path).await.0, 404);
        assert_eq!(get(&shop, host, &stock).await.1["quantity"], 3);
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
    let (shop, other) = shop_and_other().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let refresh = |host: &Host| {
        let refresh = shop.client.post(host.admin_url("/refresh"));
        refresh.bearer_auth(TOKEN)
    };
    let expected = json!([{"product_id": product, "quantity_sold": 1}]);
    let meanwhile = async {
        shop.order(user, product, 1).await.expect(201);
        eventually("the lease has run out", async || {
            try_send(refresh(&shop.host)).await.unwrap().status == 200
        })
        .await;
        assert_eq!(shop.get(SELLERS).await.expect(200), expected);
    };
    let step = Step::Redis("{report:best-sellers}:number");
    other.stops_at(step, refresh(&other.host), meanwhile).await;
    for _ in 0..5 {
        assert_eq!(get(&shop, &other.host, SELLERS).await.1, expected);
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

/// What it is restored to has the last beat that Redis has seen, so that nobody could find it out.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_to_after_the_last_beat_is_believed_when_the_operator_says_so() {
    let shop = Shop::with(without_refresh()).await;
    shop.refreshed().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 9).await);
    shop.order(user, product, 1).await.expect(201);
    copy(&shop, "", "saved_").await;
    let order = shop.order(user, product, 2).await.expect(201)["order_id"].clone();
    let path = format!("/orders/{order}");
    shop.get(&path).await.expect(200);
    assert_eq!(shop.stock(product).await, 6);
    copy(&shop, "saved_", "").await;
    // As docs/RUNBOOK.md says.
    let mut redis = shop.store.redis().await.unwrap();
    let _: usize = redis.append("cache:state", "999").await.unwrap();
    eventually("the restored stock is shown", async || {
        shop.stock(product).await == 8
    })
    .await;
    eventually("and so are the restored orders", async || {
        shop.get(&path).await.status == 404
    })
    .await;
    shop.order(user, product, 4).await.expect(201);
    for _ in 0..20 {
        assert_eq!(shop.stock(product).await, 4);
    }
}
