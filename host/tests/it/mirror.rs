//! Copies of requests are sent to a new version, and its answers compared.

use reqwest::Method;
use serde_json::Value;

use crate::canary::{ask, assert_all_answer};
use crate::operator::{HELD, guest_in_mode, guest_shop};
use crate::support::{Shop, eventually, send};

const ALONE: &str = "?mirror=100";

async fn mirror(shop: &Shop) -> Value {
    shop.component("guest").await["canary"]["mirror"].clone()
}

fn count(mirror: &Value, what: &str) -> u64 {
    mirror[what].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_answers_otherwise_is_found_and_no_client_sees_it() {
    let (shop, _app) = guest_shop(&[]).await;
    let swapped = shop.try_out("second", ALONE).await;
    assert_eq!(
        (&swapped["canary"]["share"], &swapped["canary"]["mirror"]),
        (&0.0.into(), &1.0.into())
    );
    for _ in 0..5 {
        assert_eq!(ask(&shop, 4).await, ["original"; 4]);
    }
    eventually("differences are found", async || {
        count(&mirror(&shop).await, "different") > 0
    })
    .await;
    let mirror = mirror(&shop).await;
    let first = &mirror["differences"][0];
    assert_eq!(
        (&first["method"], &first["route"]),
        (&"GET".into(), &"/...".into()),
        "{mirror}"
    );
    assert_eq!(first["what"], "body from byte 0, 8 bytes, now 6");
    let copies = "store_mirrored_requests_total{component=\"guest\",result=\"different\"}";
    assert!(shop.metric(copies).await > 0.0);
    let bodies = "store_mirror_differences_total{component=\"guest\",what=\"body\"}";
    assert!(shop.metric(bodies).await > 0.0);
    // It goes on until somebody ends it.
    shop.operate("/components/guest/promote").await.expect(200);
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_answers_the_same_has_no_differences() {
    let (shop, _app) = guest_shop(&[]).await;
    shop.swap_so("guest", ALONE, guest_in_mode("original", "slow-1"))
        .await
        .expect(200);
    ask(&shop, 10).await;
    send(shop.request(Method::HEAD, "/x")).await;
    eventually("copies are the same", async || {
        count(&mirror(&shop).await, "same") > 0
    })
    .await;
    let mirror = mirror(&shop).await;
    assert_eq!(mirror["differences"], serde_json::json!([]), "{mirror}");
    let answer = shop.get("/x").await;
    assert!(
        !answer.headers.contains_key("cache-control"),
        "the answer is everybody's: {answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_never_mirrored() {
    let (shop, _app) = guest_shop(&[]).await;
    shop.try_out("second", ALONE).await;
    for method in [
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ] {
        send(shop.request(method, "/x").body("something")).await;
        send(shop.request(Method::GET, "/x").body("a body")).await;
    }
    ask(&shop, 1).await;
    eventually("the one read is compared", async || {
        count(&mirror(&shop).await, "different") == 1
    })
    .await;
    let mirror = mirror(&shop).await;
    assert_eq!(
        count(&mirror, "dropped") + count(&mirror, "same") + count(&mirror, "failed"),
        0,
        "{mirror}"
    );
    let canary = &shop.component("guest").await["canary"];
    // The one read is compared with its original, and not with writes.
    assert_eq!(
        (&canary["requests"], &canary["stable_requests"]),
        (&1.into(), &1.into()),
        "{canary}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_hangs_holds_up_no_client() {
    let (shop, _app) = guest_shop(&[]).await;
    shop.try_mode("slow-3600000", ALONE).await;
    assert_eq!(ask(&shop, 200).await.len(), 200);
    eventually("what is too much is dropped", async || {
        ask(&shop, 20).await;
        count(&mirror(&shop).await, "dropped") > 0
    })
    .await;
    shop.operate("/components/guest/abort").await.expect(200);
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_dropped_when_the_component_is_busy() {
    let (shop, _app) =
        guest_shop(&["--max-in-flight", "4", "--max-requests-per-client", "4"]).await;
    shop.try_out("second", ALONE).await;
    let held: Vec<_> = (0..2)
        .map(|_| tokio::spawn(send(shop.request(Method::GET, HELD))))
        .collect();
    shop.wait_in_flight("guest", 2).await;
    assert_eq!(ask(&shop, 1).await, ["original"]);
    eventually("the copy is dropped", async || {
        count(&mirror(&shop).await, "dropped") > 0
    })
    .await;
    for one in held {
        assert_eq!(one.await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_copies_never_gets_to_its_steps() {
    let (shop, _app) = guest_shop(&["--canary-p99-slack", "10s"]).await;
    let query = "?mirror=100&steps=10,50&step_for=1h";
    shop.try_mode("trap-unless-probe", query).await;
    eventually("it is withdrawn", async || {
        assert_all_answer(&shop, "original").await;
        shop.component("guest").await["last"]["result"] == "withdrawn"
    })
    .await;
    let last = &shop.component("guest").await["last"];
    assert!(
        last["reason"].as_str().unwrap().contains("mirroring 100 %"),
        "{last}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_copies_are_well_goes_on_to_its_steps() {
    let (shop, _app) =
        guest_shop(&["--canary-p99-slack", "10s", "--canary-min-requests", "5"]).await;
    let query = "?mirror=100&steps=50&step_for=1s";
    shop.try_out("second", query).await;
    eventually("it is promoted", async || {
        ask(&shop, 20).await;
        shop.component("guest").await["last"]["result"] == "promoted"
    })
    .await;
    let phases = "store_rollout_phases_total{component=\"guest\",result=\"passed\"}";
    eventually("both phases are counted", async || {
        shop.metric(phases).await == 2.0
    })
    .await;
}
