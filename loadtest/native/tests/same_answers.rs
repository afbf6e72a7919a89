//! The twin answers what the host answers: else it would be no measure of it.
//!
//! Needs `store-host` and the components: `cargo xtask test` builds them first.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is that test's failure"
)]

use std::path::Path;

use reqwest::{Client, StatusCode};
use testbed::seed::Dataset;
use testbed::{DataStore, HostOptions, Twin};

const GETS: [&str; 8] = [
    "/health-check",
    "/orders/reports/highest-spenders",
    "/orders/reports/best-sellers",
    "/orders/1",
    "/orders/3",
    "/orders/999",
    "/stocks/2",
    "/stocks/999",
];

const ORDERS: [&str; 4] = [
    r#"{"user_id":1,"items":[{"product_id":1,"quantity":2},{"product_id":3,"quantity":1}]}"#,
    r#"{"user_id":2,"items":[{"product_id":2,"quantity":500},{"product_id":2,"quantity":1}]}"#,
    r#"{"user_id":1,"items":[]}"#,
    r#"{"user_id":1,"items":[{"product_id":999,"quantity":1}]}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn the_twin_answers_what_the_host_answers() {
    assert_same_answers(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_twin_that_groups_orders_answers_the_same() {
    assert_same_answers(&["--grouped"]).await;
}

async fn assert_same_answers(flags: &[&str]) {
    let program = Path::new(env!("CARGO_BIN_EXE_store-native"));
    let binary = program.with_file_name("store-host");
    assert!(binary.exists(), "build it first: cargo build -p store-host");
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spin.toml");
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    store.migrate(&binary).unwrap();
    store.seed(&Dataset::sample()).await.unwrap();
    let host = store.host(HostOptions::new(binary, app)).await.unwrap();
    let twin = Twin::start(&store, "native", program, None, flags)
        .await
        .unwrap();

    assert_same_reads(&host.url(""), &twin.url).await;
    let mut last = 0;
    for body in ORDERS {
        let ours = post(&host.url("/orders"), body).await;
        let theirs = post(&format!("{}/orders", twin.url), body).await;
        assert_eq!(ours.0, theirs.0, "{body}");
        if ours.0 == StatusCode::CREATED {
            assert_eq!(theirs.1, ours.1 + 1, "{body}");
            last = theirs.1;
        }
    }
    for path in [
        format!("/orders/{last}"),
        "/stocks/1".into(),
        "/stocks/2".into(),
    ] {
        let ours = get(&host.url(&path)).await;
        assert_eq!(ours, get(&format!("{}{path}", twin.url)).await, "{path}");
    }
    let in_redis = get(&format!("{}/orders/1", twin.url)).await;
    let mut redis = store.redis().await.unwrap();
    let () = redis::cmd("FLUSHALL")
        .query_async(&mut redis)
        .await
        .unwrap();
    let in_mysql = get(&format!("{}/orders/1", twin.url)).await;
    assert_eq!(in_redis, in_mysql);
}

async fn assert_same_reads(host: &str, twin: &str) {
    for path in GETS {
        let ours = get(&format!("{host}{path}")).await;
        let theirs = get(&format!("{twin}{path}")).await;
        assert_eq!(ours.0, theirs.0, "{path}");
        // The twin's errors are plain.
        if ours.0 == StatusCode::OK {
            assert_eq!(ours.1, theirs.1, "{path}");
        }
    }
}

async fn get(url: &str) -> (StatusCode, String) {
    let response = Client::new().get(url).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

/// The status, and the order's number if there is one.
async fn post(url: &str, body: &'static str) -> (StatusCode, i64) {
    let request = Client::new().post(url).body(body);
    let request = request.header("content-type", "application/json");
    let response = request.send().await.unwrap();
    let status = response.status();
    let answer: serde_json::Value = response.json().await.unwrap();
    (status, answer["order_id"].as_i64().unwrap_or_default())
}
