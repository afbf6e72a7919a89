//! The two sales reports, from each source.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::DataStore;
use testbed::seed::Dataset;

use crate::support::{Shop, empty_store, eventually, host_binary, options};

const SPENDERS: &str = "/orders/reports/highest-spenders";
const SELLERS: &str = "/orders/reports/best-sellers";

async fn seeded(source: &str) -> Shop {
    let store = empty_store().await;
    let size = testbed::seed::Size {
        users: 30,
        products: 40,
        orders: 500,
    };
    store.seed(&Dataset::random(size, 7)).await.unwrap();
    Shop::on(store, options().variable("report_source", source)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_gives_the_same_reports() {
    let mut answers = Vec::new();
    for source in ["mysql", "redis", "cached"] {
        let shop = seeded(source).await;
        answers.push((
            shop.get(SPENDERS).await.expect(200),
            shop.get(SELLERS).await.expect(200),
        ));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    let spenders = answers[0].0.as_array().unwrap();
    assert_eq!(spenders.len(), 10);
    let rank = |row: &Value| {
        (
            -row["total_expense"].as_f64().unwrap(),
            row["user_id"].as_i64().unwrap(),
        )
    };
    assert!(
        spenders.is_sorted_by(|a, b| rank(a) < rank(b)),
        "{spenders:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_totals_are_ordered_by_id_and_zero_is_left_out() {
    let shop = Shop::with(options().variable("report_source", "mysql")).await;
    let users = [shop.user(1).await, shop.user(2).await, shop.user(3).await];
    let product = shop.product(10.5, 5).await;
    shop.order(users[1], product, 1).await.expect(201);
    shop.order(users[0], product, 1).await.expect(201);
    let expected = json!([
        {"user_id": users[0], "total_expense": 10.5},
        {"user_id": users[1], "total_expense": 10.5},
    ]);
    assert_eq!(shop.get(SPENDERS).await.expect(200), expected);
    assert_eq!(
        shop.get(SELLERS).await.expect(200),
        json!([{"product_id": product, "quantity_sold": 2}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cached_report_follows_the_orders() {
    let shop = Shop::open().await;
    assert_eq!(shop.get(SELLERS).await.expect(200), json!([]));
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 3).await.expect(201);
    let expected = json!([{"product_id": product, "quantity_sold": 3}]);
    eventually("the report shows the order", async || {
        shop.get(SELLERS).await.expect(200) == expected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_cache_under_500_readers_costs_one_rebuild() {
    let store = empty_store().await;
    store.seed(&Dataset::sample()).await.unwrap();
    // Without the host's own refresh: it has been done a moment ago, says Redis.
    let shop = Shop::on(store, options().variable("report_refresh_seconds", "3600")).await;
    shop.refreshed().await;
    let expected = shop.get(SELLERS).await.expect(200);
    let mut redis = shop.store.redis().await.unwrap();
    redis::cmd("DEL")
        .arg("report:best-sellers")
        .exec_async(&mut redis)
        .await
        .unwrap();
    let series = "store_mysql_statements_total{component=\"reports\"}";
    let before = shop.metric(series).await;
    let readers = (0..500).map(|_| shop.get(SELLERS));
    for answer in futures::future::join_all(readers).await {
        assert_eq!(answer.expect(200), expected);
    }
    // One for the report, a look at what else changed, and old keys that are forgotten; 500 rebuilds would be 500 at least.
    let statements = shop.metric(series).await - before;
    assert!((1.0..=8.0).contains(&statements), "{statements} statements");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_refresh_task_readers_still_get_current_reports() {
    // As under `spin up`: nobody refreshes, because another instance says it just did.
    let shop = Shop::with(options().variable("report_refresh_seconds", "2")).await;
    let mut redis = shop.store.redis().await.unwrap();
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    redis::cmd("SET")
        .arg(&["lease:report-refresh", "another", "PX", "4000"])
        .exec_async(&mut redis)
        .await
        .unwrap();
    shop.order(user, product, 3).await.expect(201);
    redis::cmd("DEL")
        .arg("report:best-sellers")
        .exec_async(&mut redis)
        .await
        .unwrap();
    let expected = json!([{"product_id": product, "quantity_sold": 3}]);
    assert_eq!(shop.get(SELLERS).await.expect(200), expected);
}

/// Under plain Spin nobody refreshes, and a report lives for two intervals.
#[tokio::test(flavor = "multi_thread")]
async fn an_overdue_report_is_made_again_by_a_reader_or_shown_if_it_cannot_be() {
    let store = DataStore::start_with_own_mariadb(env!("CARGO_TARGET_TMPDIR"));
    let store = store.await.unwrap();
    store.migrate(host_binary()).unwrap();
    let options = options().variable("report_refresh_seconds", "3600");
    let mut shop = Shop::on(store, options).await;
    shop.refreshed().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 3).await.expect(201);
    let mut redis = shop.store.redis().await.unwrap();
    let mut tell = async |words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        command
            .arg(&words[1..])
            .exec_async(&mut redis)
            .await
            .unwrap();
    };
    // What is left of two hours says how old it is.
    tell(&["EXPIRE", "report:best-sellers", "3000"]).await;
    tell(&["SET", "lease:report-refresh", "another", "PX", "60000"]).await;
    // For a second an instance goes by what it knows.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(shop.get(SELLERS).await.expect(200), json!([]));
    tell(&["DEL", "lease:report-refresh"]).await;
    let mut mariadb = shop.store.mariadb.take().unwrap();
    mariadb.kill();
    assert_eq!(shop.get(SELLERS).await.expect(200), json!([]));
    mariadb.start_again().await.unwrap();
    let expected = json!([{"product_id": product, "quantity_sold": 3}]);
    eventually("a reader has it made", async || {
        shop.get(SELLERS).await.expect(200) == expected
    })
    .await;
}
