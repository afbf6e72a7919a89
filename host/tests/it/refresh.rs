//! The refresh task: one of many instances does it, only when something changed, and it mends what a crash left.

use mysql_async::prelude::Queryable;
use testbed::seed::Dataset;

use crate::limits::changed_app;
use crate::mysql_relay::mysql_address;
use crate::operator::{TOKEN, with_token};
use crate::relay::Relay;
use crate::support::{Shop, empty_store, eventually, numbers_to, options, send};

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
    let counter = |text: &str, outcome: &str| {
        let series = format!("store_refreshes_total{{outcome=\"{outcome}\"}}");
        text.lines()
            .filter(|line| line.starts_with(&series))
            .find_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    // Which one it is depends on whose turn came first.
    let both =
        async |outcome: &str| refreshes(&first, outcome).await + counter(&scrape().await, outcome);
    eventually("one leaves it to the other", async || {
        both("elsewhere").await > 0.0
    })
    .await;
    let before = both("unchanged").await;
    eventually("somebody goes on refreshing", async || {
        both("unchanged").await > before
    })
    .await;

    // Whoever lives takes over.
    first.host.kill();
    let before = counter(&scrape().await, "unchanged");
    eventually("the second takes over", async || {
        counter(&scrape().await, "unchanged") >= before + 2.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_redis_has_the_reports_again() {
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
    eventually("the reports are there again", async || {
        let mut exists = redis::cmd("EXISTS");
        exists.arg(&["report:best-sellers", "report:highest-spenders"]);
        exists.query_async::<i64>(&mut redis).await.unwrap() == 2
    })
    .await;
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

/// 300,000 of them, and a Redis that is down.
#[tokio::test(flavor = "multi_thread")]
async fn old_keys_are_swept_out_without_redis_too() {
    let mut shop = Shop::open().await;
    shop.refreshed().await;
    shop.store.redis_server.stop().await.unwrap();
    let mut mysql = shop.store.mysql().await.unwrap();
    let insert = format!(
        "INSERT INTO idempotency_keys (key_sha256, body_sha256, order_id, created_at)
         SELECT SHA2(seq, 256), REPEAT('b', 64), 1, NOW() - INTERVAL 25 HOUR FROM {}",
        numbers_to(300_000)
    );
    mysql.query_drop(insert).await.unwrap();
    let mut left = fewer_keys(&shop, 300_000).await;
    shop.store.redis_server.start_again().await.unwrap();
    // All of them may take a busy machine longer than anything that is waited for at once.
    while left > 0 {
        left = fewer_keys(&shop, left).await;
    }
}

/// What a refresh reads of MySQL does not grow with what came together while there was none, and neither does what it
/// holds: all of it happens in a few MiB.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_after_a_long_outage_reads_no_more_than_any_other() {
    const OUTAGE: u64 = 200_000;
    /// Keys that are deleted in one step, and what the answers to a step's two statements have at most.
    const STEP: u64 = 10_000;
    const STEP_BYTES: u64 = 1000;

    let store = empty_store().await;
    let relay = Relay::to(&mysql_address(&store)).await;
    let mut host = with_token(options())
        .variable("report_refresh_seconds", "3600")
        .variable("mysql_address", relay.address());
    host.app = changed_app(
        &store,
        "[component.reports.tool.store-host]",
        "[component.reports.tool.store-host]\nlimits = { memory_limit_mib = 8 }",
    );
    let shop = Shop::on(store, host).await;
    shop.refreshed().await;
    let refresh = async || {
        let before = relay.received();
        let request = shop.client.post(shop.host.admin_url("/refresh"));
        let answer = send(request.bearer_auth(TOKEN)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        relay.received() - before
    };
    // Twice, as the first one's connections are new.
    refresh().await;
    let quiet = refresh().await;
    let mut mysql = shop.store.mysql().await.unwrap();
    let insert = format!(
        "INSERT INTO idempotency_keys (key_sha256, body_sha256, order_id, created_at)
         SELECT SHA2(seq, 256), REPEAT('b', 64), 1, NOW() - INTERVAL 25 HOUR FROM {}",
        numbers_to(OUTAGE)
    );
    mysql.query_drop(insert).await.unwrap();
    let late = refresh().await;
    assert_eq!(keys(&shop).await, 0);
    let most = quiet + (OUTAGE / STEP + 1) * STEP_BYTES;
    assert!(late < most, "{quiet} bytes, then {late}");
    let traps = "store_traps_total{component=\"reports\"}";
    assert_eq!(shop.metric(traps).await, 0.0);
}

/// Waits until there are fewer keys than `before`, and returns how many are left.
async fn fewer_keys(shop: &Shop, before: i64) -> i64 {
    let mut left = before;
    eventually("more keys are gone", async || {
        left = keys(shop).await;
        left < before
    })
    .await;
    left
}

async fn keys(shop: &Shop) -> i64 {
    let mut mysql = shop.store.mysql().await.unwrap();
    let count = "SELECT COUNT(*) FROM idempotency_keys";
    let count: Option<i64> = mysql.query_first(count).await.unwrap();
    count.unwrap()
}
