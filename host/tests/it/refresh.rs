//! The refresh task: one of many instances does it, only when something changed, and it mends what a crash left.

use mysql_async::prelude::Queryable;
use testbed::seed::Dataset;

use crate::support::{Shop, empty_store, eventually, options};

async fn refreshes(shop: &Shop, outcome: &str) -> f64 {
    shop.metric(&format!("store_refreshes_total{{outcome=\"{outcome}\"}}"))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_rebuilt_when_nothing_changed() {
    let shop = Shop::open().await;
    eventually("the reports are made at start", async || {
        refreshes(&shop, "rebuilt").await == 1.0
    })
    .await;
    eventually("two refreshes find nothing new", async || {
        refreshes(&shop, "unchanged").await >= 2.0
    })
    .await;
    assert_eq!(refreshes(&shop, "rebuilt").await, 1.0);

    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 1).await.expect(201);
    eventually("the order is noticed", async || {
        refreshes(&shop, "rebuilt").await >= 2.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_instances_one_refreshes() {
    let first = Shop::open().await;
    let second = first.store.host(options()).await.unwrap();
    let scrape = async || {
        let response = first
            .client
            .get(second.admin_url("/metrics"))
            .send()
            .await
            .unwrap();
        response.text().await.unwrap()
    };
    eventually("the second leaves it to the first", async || {
        scrape()
            .await
            .contains("store_refreshes_total{outcome=\"elsewhere\"}")
    })
    .await;
    let before = refreshes(&first, "unchanged").await;
    eventually("somebody goes on refreshing", async || {
        refreshes(&first, "unchanged").await > before
    })
    .await;

    // Whoever lives takes over.
    first.host.kill();
    let counter = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("store_refreshes_total{outcome=\"unchanged\"}"))
            .find_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    let before = counter(&scrape().await);
    eventually("the second takes over", async || {
        counter(&scrape().await) >= before + 2.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_between_commit_and_cache_is_mended() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let order = shop.order(user, product, 1).await.expect(201)["order_id"].clone();
    shop.assert_consistent().await;
    // As if the host had died right after the commit.
    let mut redis = shop.store.redis().await.unwrap();
    let key = format!("order:{order}");
    redis::cmd("DEL")
        .arg(&key)
        .exec_async(&mut redis)
        .await
        .unwrap();
    let stock = format!("stock:{product}");
    redis::cmd("HSET")
        .arg(&[&stock, "quantity", "5", "version", "1"])
        .exec_async(&mut redis)
        .await
        .unwrap();
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_is_filled_again() {
    let store = empty_store().await;
    let size = testbed::seed::Size {
        users: 20,
        products: 700,
        orders: 3000,
    };
    store.seed(&Dataset::random(size, 42)).await.unwrap();
    let shop = Shop::on(store, options()).await;
    shop.assert_consistent().await;

    let mut redis = shop.store.redis().await.unwrap();
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
    redis::cmd("HSET")
        .arg(&["order:999999", "user_id", "1"])
        .exec_async(&mut redis)
        .await
        .unwrap();
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_idempotency_keys_are_swept_out() {
    let shop = Shop::open().await;
    let mut mysql = shop.store.mysql().await.unwrap();
    let insert = "INSERT INTO idempotency_keys (key_sha256, body_sha256, order_id, created_at)
        VALUES (REPEAT('a', 64), REPEAT('b', 64), 1, NOW() - INTERVAL 25 HOUR),
               (REPEAT('c', 64), REPEAT('b', 64), 1, NOW() - INTERVAL 23 HOUR)";
    mysql.query_drop(insert).await.unwrap();
    eventually("the older of the two is gone", async || {
        let mut mysql = shop.store.mysql().await.unwrap();
        let keys: Vec<String> = mysql
            .query("SELECT key_sha256 FROM idempotency_keys")
            .await
            .unwrap();
        keys == ["c".repeat(64)]
    })
    .await;
}
