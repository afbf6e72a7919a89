//! A new version is tried on a part of the traffic.

use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, stream};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::operator::{GuestApp, bare_store, guest, guest_shop, operated, refusal};
use crate::support::{Shop, eventually, send, try_send};

/// A trial that no test waits for the end of.
const LONG: &str = "?canary=10&for=1h";

/// Sends requests until the trial of `guest` is over.
pub(crate) async fn ask_until_decided(shop: &Shop) {
    eventually("the canary is decided", async || {
        ask(shop, 50).await;
        is_over(shop, &shop.component("guest").await).await
    })
    .await;
}

/// So that a few slow answers end a trial.
pub(crate) const COMPARING_TIMES: [&str; 4] =
    ["--canary-p99-slack", "100ms", "--canary-min-requests", "1"];

/// Slower than twice what a busy machine may take for the stable version's answers.
pub(crate) const SLOW: &str = "slow-8000";

/// Sends requests until the trial of `guest` is over. Those that have no answer yet are not waited for: they count with
/// the time that they have waited.
pub(crate) async fn ask_until_too_slow(shop: &Shop) {
    let mut waiting = JoinSet::new();
    eventually("the canary is decided", async || {
        if waiting.is_empty() {
            for _ in 0..50 {
                waiting.spawn(send(shop.request(Method::GET, "/x")));
            }
        }
        while let Some(answer) = waiting.try_join_next() {
            assert_eq!(answer.unwrap().status, 200);
        }
        is_over(shop, &shop.component("guest").await).await
    })
    .await;
}

/// Whether the trial of `guest` is over and counted. Its requests are led away first, then the result is written down,
/// and then counted.
pub(crate) async fn is_over(shop: &Shop, component: &Value) -> bool {
    let result = component["last"]["result"].as_str().unwrap_or_default();
    component["canary"].is_null()
        && result != "canary"
        && shop.attempts("guest", result).await > 0.0
}

/// Sends `count` requests, some at once, and gives their answers, all of them 200.
pub(crate) async fn ask(shop: &Shop, count: usize) -> Vec<String> {
    stream::iter(0..count)
        .map(|_| shop.answer("/x"))
        .buffer_unordered(16)
        .collect()
        .await
}

/// Checks that requests get no other answer than this.
pub(crate) async fn assert_all_answer(shop: &Shop, expected: &str) {
    let answers = ask(shop, 20).await;
    assert!(answers.iter().all(|answer| answer == expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_gets_its_share_of_ten_thousand_requests() {
    let (shop, _app) = guest_shop(&[]).await;
    let swapped = shop.try_out("second", LONG).await;
    assert_eq!(swapped["canary"]["share"], 0.1);
    assert_eq!(swapped["canary"]["for_ms"], 3_600_000);
    let answers = ask(&shop, 10_000).await;
    let tried = answers.iter().filter(|answer| *answer == "second").count();
    let stable = answers
        .iter()
        .filter(|answer| *answer == "original")
        .count();
    assert_eq!(tried + stable, 10_000);
    assert!((900..=1100).contains(&tried), "{tried} of 10000");

    // The metrics tell the two apart as long as there are two.
    let requests = async |generation: u32| {
        let labels = format!("{{component=\"guest\",generation=\"{generation}\",status=\"2xx\"}}");
        let series = format!("store_generation_requests_total{labels}");
        shop.metric(&series).await as usize
    };
    assert_eq!((requests(1).await, requests(2).await), (stable, tried));
    let component = shop.component("guest").await;
    let shares: Vec<f64> = component["generations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|generation| generation["share"].as_f64().unwrap())
        .collect();
    assert!(shares.contains(&0.1) && shares.contains(&0.9), "{shares:?}");

    shop.operate("/components/guest/abort").await.expect(200);
    shop.wait_freed("guest", 1).await;
    let text = shop.scrape().await;
    assert!(
        !text.contains("generation=\"2\""),
        "series were left behind:\n{text}"
    );
    assert!(!text.contains("store_generation_requests_total{"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_canary_is_promoted_by_itself() {
    let patient = ["--canary-p99-slack", "10s", "--canary-min-requests", "1"];
    let (shop, _app) = guest_shop(&patient).await;
    shop.try_out("second", "?canary=50&for=1s").await;
    ask_until_decided(&shop).await;
    assert_eq!(shop.generations("guest", "live").await, [2]);
    assert_all_answer(&shop, "second").await;
    assert_eq!(shop.component("guest").await["last"]["result"], "promoted");
    assert_eq!(shop.attempts("guest", "promoted").await, 1.0);
    shop.wait_freed("guest", 1).await;
    shop.operate("/components/guest/rollback").await.expect(200);
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_traps_is_withdrawn_and_no_caller_sees_it() {
    let (shop, _app) = guest_shop(&[]).await;
    let query = "?canary=50&for=1h";
    shop.try_mode("trap-unless-probe", query).await;
    // `ask` expects 200 of every answer.
    ask_until_decided(&shop).await;
    assert_eq!(shop.generations("guest", "live").await, [1]);
    let last = &shop.component("guest").await["last"];
    assert_eq!(last["result"], "withdrawn", "{last}");
    assert!(
        last["reason"].as_str().unwrap().contains("requests failed"),
        "{last}"
    );
    let retries = "store_canary_retries_total{component=\"guest\"}";
    assert!(shop.metric(retries).await > 0.0);
    assert_eq!(shop.attempts("guest", "withdrawn").await, 1.0);
    shop.wait_freed("guest", 1).await;
    assert_all_answer(&shop, "original").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_answers_500_is_withdrawn_and_no_reader_sees_it() {
    let (shop, _app) = guest_shop(&[]).await;
    let query = "?canary=50&for=1h";
    shop.try_mode("fail-unless-probe", query).await;
    ask_until_decided(&shop).await;
    assert_eq!(shop.generations("guest", "live").await, [1]);
    assert_eq!(shop.component("guest").await["last"]["result"], "withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_never_sent_twice() {
    let (shop, _app) = guest_shop(&["--canary-min-requests", "1000"]).await;
    let query = "?canary=99&for=1h";
    shop.try_mode("trap-unless-probe", query).await;
    let request = || send(shop.request(Method::POST, "/x").body("something"));
    let mut failed = 0;
    for _ in 0..10 {
        failed += u32::from(request().await.status.is_server_error());
    }
    assert!(failed > 0, "a failed write was answered all the same");
    let retries = "store_canary_retries_total{component=\"guest\"}";
    assert_eq!(shop.metric(retries).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_slow_is_withdrawn() {
    let (shop, _app) = guest_shop(&COMPARING_TIMES).await;
    shop.try_mode(SLOW, "?canary=50&for=1h").await;
    ask_until_too_slow(&shop).await;
    assert_eq!(shop.generations("guest", "live").await, [1]);
    let last = &shop.component("guest").await["last"];
    assert_eq!(last["result"], "withdrawn", "{last}");
    assert!(last["reason"].as_str().unwrap().contains("p99"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_never_answers_is_withdrawn_though_its_clients_gave_up() {
    let (shop, _app) = guest_shop(&["--canary-p99-slack", "100ms"]).await;
    shop.try_mode("slow-3600000", "?canary=50&for=3s").await;
    eventually("the canary is decided", async || {
        let impatient = |_| {
            shop.request(Method::GET, "/x")
                .timeout(Duration::from_millis(500))
        };
        join_all((0..50).map(impatient).map(RequestBuilder::send)).await;
        is_over(&shop, &shop.component("guest").await).await
    })
    .await;
    assert_eq!(shop.generations("guest", "live").await, [1]);
    let last = &shop.component("guest").await["last"];
    assert_eq!(last["result"], "withdrawn", "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_whose_answers_break_off_is_withdrawn() {
    let (shop, _app) = guest_shop(&[]).await;
    let query = "?canary=50&for=1h";
    shop.try_mode("break-unless-probe", query).await;
    let mut broken = 0;
    eventually("the canary is decided", async || {
        broken += u32::from(try_send(shop.request(Method::GET, "/x")).await.is_err());
        is_over(&shop, &shop.component("guest").await).await
    })
    .await;
    assert!(broken > 0, "no answer broke off");
    assert_eq!(shop.generations("guest", "live").await, [1]);
    assert_eq!(shop.component("guest").await["last"]["result"], "withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_nobody_asked_is_withdrawn() {
    let (shop, _app) = guest_shop(&[]).await;
    shop.try_out("second", "?canary=10&for=100ms").await;
    eventually("the canary is decided", async || {
        shop.component("guest").await["last"]["result"] == "withdrawn"
    })
    .await;
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_may_decide_before_the_end() {
    let (shop, _app) = guest_shop(&[]).await;
    for word in ["promote", "abort"] {
        let path = format!("/components/guest/{word}");
        refusal(&shop.operate(&path).await, 409, None);
    }
    shop.try_out("second", LONG).await;
    let aborted = shop.operate("/components/guest/abort").await.expect(200);
    assert_eq!(aborted["component"], "guest");
    assert_eq!(shop.generations("guest", "live").await, [1]);
    assert_all_answer(&shop, "original").await;

    shop.try_out("third", LONG).await;
    shop.operate("/components/guest/promote").await.expect(200);
    assert_all_answer(&shop, "third").await;
    assert!(shop.generations("guest", "canary").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_changes_a_component_during_its_trial() {
    let (shop, _app) = guest_shop(&[]).await;
    shop.try_out("second", LONG).await;
    let third = guest("third").into_bytes();
    refusal(&shop.swap("guest", third.clone()).await, 409, None);
    // Other components are free.
    shop.swap("other", third).await.expect(200);
    shop.operate("/components/guest/abort").await.expect(200);
    shop.swap_in("fourth").await;
    assert_eq!(shop.answer("/x").await, "fourth");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_trial_is_refused() {
    let (shop, _app) = guest_shop(&[]).await;
    for query in [
        "?canary=0",
        "?canary=100",
        "?canary=ten",
        "?canary=10&for=soon",
        "?canary=10&for=0s",
        "?ephemeral=perhaps",
        "?cannary=10",
    ] {
        let answer = shop
            .swap_so("guest", query, guest("second").into_bytes())
            .await;
        refusal(&answer, 400, None);
    }
    assert_eq!(shop.generations("guest", "live").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_canary_is_served_after_a_restart() {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let options = app.options(operated(&store));
    let shop = Shop::on(store, options.clone()).await;
    shop.try_out("third", LONG).await;
    shop.operate("/components/guest/promote").await.expect(200);
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "third");
}
