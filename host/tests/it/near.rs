//! Values that the host keeps near: Redis is asked less, and what changed is seen all the same.

use std::time::Instant;

use redis::aio::MultiplexedConnection;
use serde_json::json;
use testbed::{DataStore, RedisOptions, RedisServer};

use crate::support::{PATIENCE, Shop, empty_store, eventually, options, refuses};

const REPORT: &str = "/orders/reports/best-sellers";
const KEY: &str = "report:best-sellers";

const HITS: &str = "store_redis_near_cache_reads_total{component=\"reports\",outcome=\"hit\"}";
const MISSES: &str = "store_redis_near_cache_reads_total{component=\"reports\",outcome=\"miss\"}";

/// A report as the refresh would put it, with one line.
async fn put(redis: &mut MultiplexedConnection, product: i64) {
    redis::cmd("SET")
        .arg(KEY)
        .arg(json!([{"product_id": product, "quantity_sold": 1}]).to_string())
        .arg("EX")
        .arg(7200)
        .exec_async(redis)
        .await
        .unwrap();
}

/// A shop whose refresh has done its work, and leaves the reports alone from then on.
async fn shop_on(store: DataStore) -> (Shop, MultiplexedConnection) {
    let shop = Shop::on(store, options().variable("report_refresh_seconds", "3600")).await;
    shop.refreshed().await;
    let redis = shop.store.redis().await.unwrap();
    (shop, redis)
}

/// A number of `INFO stats`.
pub(crate) async fn stat(redis: &mut MultiplexedConnection, name: &str) -> u64 {
    let info: String = redis::cmd("INFO")
        .arg("stats")
        .query_async(redis)
        .await
        .unwrap();
    let prefix = format!("{name}:");
    let line = info.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap().trim().parse().unwrap()
}

/// How many answers are older than what Redis holds, until one is not. Then the host keeps that.
async fn old_answers(shop: &Shop, url: &str, product: i64) -> usize {
    let shows_it = async || {
        let answer = shop.client.get(url).send().await.unwrap();
        let report: serde_json::Value = answer.json().await.unwrap();
        report[0]["product_id"] == product
    };
    let started = Instant::now();
    let mut old = 0;
    while !shows_it().await {
        assert!(started.elapsed() < PATIENCE, "{product} never shows");
        old += 1;
    }
    // The first reader of a report asks for its lifetime too, in a way that is not kept.
    for _ in 0..2 {
        assert!(shows_it().await);
    }
    old
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_read_from_memory_as_long_as_it_does_not_change() {
    let (shop, mut redis) = shop_on(empty_store().await).await;
    put(&mut redis, 1).await;
    old_answers(&shop, &shop.host.url(REPORT), 1).await;
    let (hits, misses) = (shop.metric(HITS).await, shop.metric(MISSES).await);
    for _ in 0..200 {
        shop.get(REPORT).await.expect(200);
    }
    let (hits, misses) = (
        shop.metric(HITS).await - hits,
        shop.metric(MISSES).await - misses,
    );
    assert!(hits > misses, "{hits} hits and {misses} misses");
    assert!(stat(&mut redis, "tracking_total_keys").await > 0);
}

/// A second passes before it is asked for a value that it keeps and hears nothing of: hundreds of old answers each time.
#[tokio::test(flavor = "multi_thread")]
async fn all_hosts_hear_of_a_change() {
    let (shop, mut redis) = shop_on(empty_store().await).await;
    let other = shop
        .store
        .host(options().variable("report_refresh_seconds", "3600"))
        .await
        .unwrap();
    let mut old = 0;
    for product in 1..=20 {
        put(&mut redis, product).await;
        for url in [shop.host.url(REPORT), other.url(REPORT)] {
            old += old_answers(&shop, &url, product).await;
        }
    }
    assert!(old < 200, "{old} old answers to 20 changes");
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
    eventually("the report made anew", async || {
        shop.get(REPORT).await.expect(200) == json!([])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_leaves_nothing_kept() {
    let (shop, mut redis) = shop_on(empty_store().await).await;
    let url = shop.host.url(REPORT);
    let mut old = 0;
    for product in 1..=20 {
        // Kept, and watched by a connection that is gone before the next change.
        put(&mut redis, 100 + product).await;
        old_answers(&shop, &url, 100 + product).await;
        redis::cmd("CLIENT")
            .arg("KILL")
            .arg("SKIPME")
            .arg("yes")
            .exec_async(&mut redis)
            .await
            .unwrap();
        put(&mut redis, product).await;
        old += old_answers(&shop, &url, product).await;
    }
    assert!(old < 200, "{old} old answers after 20 lost connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_tells_of_no_changes_is_asked_each_time() {
    let store = empty_store().await;
    let mut redis = store.redis().await.unwrap();
    redis::cmd("ACL")
        .arg("SETUSER")
        .arg("default")
        .arg("-client")
        .exec_async(&mut redis)
        .await
        .unwrap();
    let (shop, mut redis) = shop_on(store).await;
    for product in 1..=20 {
        put(&mut redis, product).await;
        assert_eq!(old_answers(&shop, &shop.host.url(REPORT), product).await, 0);
    }
    assert_eq!(shop.metric(HITS).await, 0.0);
    assert!(shop.metric(MISSES).await > 0.0, "it is not tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_can_not_tell_stops_the_start() {
    let store = empty_store().await;
    let before_version_6 = RedisOptions {
        without: &["HELLO"],
        ..RedisOptions::new(
            store.folder().join("old-redis"),
            store.folder().join("old-redis.log"),
        )
    };
    let redis = RedisServer::start(before_version_6).await.unwrap();
    let address = format!("127.0.0.1:{}", redis.port());
    let said = [&address, "needs Redis 6 or newer"];
    let options = options().variable("redis_address", &address);
    refuses(&store, options.clone(), 2, &said).await;
    refuses(&store, options.arg("--allow-unreachable"), 2, &said).await;
}
