//! A script in Redis that does not end: while it runs, Redis answers nobody.

use crate::backends::{backend_shop, backend_shop_on};
use crate::operator::bare_store;
use crate::support::{Shop, TOOK_TOO_LONG, eventually, send, wait_for_log};

const ENDLESS: &str = "REDIS\ncommand EVAL while\ttrue\tdo\tend 0";

/// Has Redis look for a command that ends a script after a tenth of a second, instead of five.
async fn look_soon(shop: &Shop) {
    let mut redis = shop.store.redis().await.unwrap();
    let mut set = redis::cmd("CONFIG");
    set.arg(&["SET", "busy-reply-threshold", "100"]);
    set.exec_async(&mut redis).await.unwrap();
}

async fn redis_answers(shop: &Shop) {
    eventually("Redis answers", async || {
        shop.last("REDIS\ncommand SET k v").await == "OK"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_without_end_is_ended_and_others_are_served_again() {
    let shop = backend_shop("").await;
    look_soon(&shop).await;
    let series = "store_redis_scripts_ended_total{component=\"guest\"} 0";
    assert!(shop.scrape().await.contains(series));
    let answer = shop.last(ENDLESS).await;
    assert!(answer.starts_with("error"), "{answer}");
    redis_answers(&shop).await;
    eventually("it is logged", async || {
        // Asked once more before it took notice, Redis counts the same one twice.
        shop.host.log().contains("scripts that Redis at")
    })
    .await;
    let ended = "store_redis_scripts_ended_total{component=\"guest\"}";
    assert!(shop.metric(ended).await >= 1.0);
    // One that was killed is no reason to refuse others.
    assert_eq!(shop.last("REDIS\ncommand EVAL return(7) 0").await, "7");
}

/// Many at once: each that is ended makes way for the next.
#[tokio::test(flavor = "multi_thread")]
async fn many_scripts_without_end_are_ended() {
    let shop = backend_shop_on(bare_store().await, "", |options| {
        options.arg("--redis-response-timeout").arg("300ms")
    })
    .await;
    look_soon(&shop).await;
    let all = (0..8).map(|_| shop.last(ENDLESS));
    for answer in futures::future::join_all(all).await {
        assert!(answer.starts_with("error"), "{answer}");
    }
    redis_answers(&shop).await;
}

/// Its request is over, and its instance with it, before the script had its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_outlives_its_instance_by_no_more_than_its_time() {
    let shop = backend_shop("request_timeout = \"300ms\"").await;
    look_soon(&shop).await;
    let addresses = shop.store.addresses();
    let script = ENDLESS.replace("REDIS", &format!("redis {}", addresses.redis_url()));
    let request = shop.request(reqwest::Method::POST, "/backends");
    let ended = send(request.body(script)).await;
    assert_eq!(ended.problem(504), TOOK_TOO_LONG);
    let mut redis = shop.store.redis().await.unwrap();
    eventually("Redis answers", async || {
        redis::cmd("PING").exec_async(&mut redis).await.is_ok()
    })
    .await;
}

/// Redis does not end those, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_has_written_is_told_to_the_operator() {
    let shop = backend_shop("").await;
    look_soon(&shop).await;
    let script = ENDLESS.replace("while", "redis.call('SET','k','v')\twhile");
    let answer = shop.last(&script).await;
    assert!(answer.starts_with("error"), "{answer}");
    wait_for_log(&shop.host, "SHUTDOWN NOSAVE").await;
}

/// Where nothing else uses Redis, and it is started again when it ends, a host may stop it.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_stuck_is_stopped_where_the_operator_says_so() {
    let mut shop = backend_shop_on(bare_store().await, "", |options| {
        options.arg("--redis-shutdown-if-stuck")
    })
    .await;
    look_soon(&shop).await;
    let script = ENDLESS.replace("while", "redis.call('SET','k','v')\twhile");
    let answer = shop.last(&script).await;
    assert!(answer.starts_with("error"), "{answer}");
    eventually("it is logged", async || {
        let log = shop.host.log();
        log.contains("Stopped Redis at") && !log.contains("so it can't be ended")
    })
    .await;
    assert!(shop.store.redis().await.is_err(), "it still runs");
    shop.store.redis_server.kill();
    shop.store.redis_server.start_again().await.unwrap();
    redis_answers(&shop).await;
}
