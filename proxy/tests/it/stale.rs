//! Kept-alive connections to an upstream that closes them without a word.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::support::{Load, NO_EJECTION, Reply, Rig, Upstream, get, request, shop};

/// An upstream that closes each connection at a moment of its own after an answer: now and then just when the next
/// request arrives.
async fn forgetful() -> Upstream {
    let count = Arc::new(AtomicU64::new(0));
    Upstream::with(move |_| {
        let count = count.fetch_add(1, Ordering::SeqCst);
        Reply::EchoThenClose(Duration::from_micros(count * 37 % 3_000))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_closed_by_the_upstream_never_show() {
    let upstreams = [forgetful().await, forgetful().await];
    let rig = Rig::start(&shop("", &upstreams)).await;
    let load = Load::paced(rig.address, 8, Duration::from_millis(1), |n| {
        let target = format!("/{n}");
        let bytes = match n % 4 {
            0 => get(&target),
            1 => request("POST", &target, &[("idempotency-key", "key")], "body"),
            2 => request("POST", &target, &[], "body"),
            _ => request("DELETE", &target, &[], ""),
        };
        (target, bytes)
    });
    load.answers(3_000).await;
    load.stop().await.assert_only(&[200]);
    assert_unkeyed_once(&upstreams);
}

/// Every POST without a key arrived exactly once.
#[track_caller]
fn assert_unkeyed_once(upstreams: &[Upstream]) {
    let mut seen = BTreeMap::new();
    let requests = upstreams.iter().flat_map(Upstream::requests);
    let plain = requests.filter(|r| r.method() == "POST" && r.header("idempotency-key").is_none());
    for request in plain {
        *seen.entry(request.target().to_owned()).or_insert(0) += 1;
    }
    assert!(seen.len() > 100, "too few to say anything: {}", seen.len());
    seen.retain(|_, count| *count > 1);
    assert!(seen.is_empty(), "sent twice: {seen:?}");
}

/// The other setting gives up the promise for POST without a key, and only that one.
#[tokio::test(flavor = "multi_thread")]
async fn where_all_connections_are_reused_what_is_repeatable_still_never_fails() {
    let upstreams = [forgetful().await, forgetful().await];
    let keys = format!("reuse = \"all\"\n{NO_EJECTION}");
    let retry = "[retry]\nkeyed_posts = [\"/\"]\n";
    let rig = Rig::start(&format!("{retry}{}", shop(&keys, &upstreams))).await;
    let load = Load::paced(rig.address, 8, Duration::from_millis(1), |n| {
        let target = format!("/{n}");
        let bytes = match n % 2 {
            0 => get(&target),
            _ => request("POST", &target, &[("idempotency-key", "key")], "body"),
        };
        (target, bytes)
    });
    load.answers(2_000).await;
    load.stop().await.assert_only(&[200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_an_upstream_are_kept_and_used_again() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut client = rig.client().await;
    for _ in 0..50 {
        assert_eq!(client.ask(get("/")).await.status(), 200);
    }
    // A few more than one: the next request may come before a connection is back.
    assert!(upstream.connections() <= 10, "{}", upstream.connections());
    let connects = rig.metric("store_proxy_upstream_connects_total", &[]).await;
    assert!((1.0..=10.0).contains(&connects), "{connects}");
}

/// A client that leaves in the middle must not leave its upstream connection to somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn the_connection_of_a_client_that_left_is_not_used_again() {
    let upstream = Upstream::with(|request| match request.target() {
        "/slow" => Reply::Later(Duration::from_millis(100), Box::new(Reply::Echo)),
        _ => Reply::Echo,
    })
    .await;
    let rig = Rig::start(&shop(NO_EJECTION, [&upstream])).await;
    for round in 0..20 {
        let mut leaving = rig.client().await;
        leaving.send(get("/slow")).await;
        let goal = round + 1;
        crate::support::eventually("it arrives", async || upstream.count_of("/slow") == goal).await;
        drop(leaving);
        for target in ["/a", "/b", "/c"] {
            let answer = rig.get(target).await;
            assert_eq!(answer.json()["target"], target);
        }
    }
}
