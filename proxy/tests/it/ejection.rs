//! Upstreams that fail requests are left out for a while.

use crate::support::{
    Reply, Rig, UNREACHABLE, Upstream, answered_by, eventually, get, problem, shop,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_in_a_row_is_left_out_and_comes_back() {
    let (bad, good) = (Upstream::closing().await, Upstream::start().await);
    let keys = "ejection = { failures = 3, base = \"1s\", max = \"4s\" }";
    let rig = Rig::start(&shop(keys, [&bad, &good])).await;
    let mut client = rig.client().await;
    eventually("it is left out", async || {
        assert_eq!(answered_by(&client.ask(get("/")).await), good.address);
        rig.state(bad.address).await == "ejected"
    })
    .await;
    let label = format!("upstream=\"{}\"", bad.address);
    let metric = async |name| rig.metric(name, &[&label]).await;
    assert!(metric("store_proxy_upstream_ejections_total").await >= 1.0);
    assert_eq!(metric("store_proxy_upstream_healthy").await, 0.0);

    bad.behave(|_| Reply::Echo);
    eventually("it is used again", async || {
        answered_by(&client.ask(get("/")).await) == bad.address
    })
    .await;
    assert_eq!(rig.state(bad.address).await, "up");
}

/// While it is out it gets nothing: three failures a time out, however many requests there are.
#[tokio::test(flavor = "multi_thread")]
async fn an_ejected_upstream_gets_no_requests() {
    let (bad, good) = (Upstream::closing().await, Upstream::start().await);
    let keys = "ejection = { failures = 3, base = \"60s\", max = \"60s\" }";
    let rig = Rig::start(&shop(keys, [&bad, &good])).await;
    let mut client = rig.client().await;
    for _ in 0..200 {
        assert_eq!(answered_by(&client.ask(get("/")).await), good.address);
    }
    assert_eq!(bad.count(), 3);
    assert_eq!(rig.state(bad.address).await, "ejected");
    assert_eq!(rig.state(good.address).await, "up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_in_between_starts_the_count_again() {
    let failing_often = std::sync::atomic::AtomicUsize::new(0);
    let bad = Upstream::with(move |_| {
        match failing_often.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 3 {
            2 => Reply::Echo,
            _ => Reply::Close,
        }
    })
    .await;
    let good = Upstream::start().await;
    let keys = "ejection = { failures = 3, base = \"60s\", max = \"60s\" }";
    let rig = Rig::start(&shop(keys, [&bad, &good])).await;
    let mut client = rig.client().await;
    for _ in 0..60 {
        answered_by(&client.ask(get("/")).await);
    }
    assert_eq!(rig.state(bad.address).await, "up");
    assert!(bad.count() >= 20, "{}", bad.count());
}

/// The last one is not left out: trying it is better than trying none.
#[tokio::test(flavor = "multi_thread")]
async fn with_all_upstreams_dead_it_is_503_with_retry_after_until_one_is_back() {
    let bad = [Upstream::start().await, Upstream::start().await];
    for upstream in &bad {
        upstream.stop().await;
    }
    let keys = "ejection = { failures = 2, base = \"60s\", max = \"60s\" }";
    let rig = Rig::start(&shop(keys, &bad)).await;
    for _ in 0..10 {
        let answer = rig.get("/").await;
        assert_eq!(problem(&answer, 503), UNREACHABLE);
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(seconds >= 1);
    }
    let mut up = Vec::new();
    for upstream in &bad {
        if rig.state(upstream.address).await == "up" {
            up.push(upstream);
        }
    }
    assert_eq!(up.len(), 1);
    up[0].start_again().await;
    assert_eq!(answered_by(&rig.get("/").await), up[0].address);
}

const COUNTED: &str =
    "ejection = { failures = 3, count_503 = true, base = \"60s\", max = \"60s\" }";

async fn unavailable() -> Upstream {
    Upstream::with(|_| Reply::Answer(503, vec![], "not now".into())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_answers_503_among_healthy_ones_is_left_out_if_told_to() {
    let (bad, good) = (unavailable().await, Upstream::start().await);
    // A POST goes through pingora, a GET does not.
    for ask in [get("/"), crate::support::request("POST", "/", &[], "body")] {
        let rig = Rig::start(&shop(COUNTED, [&bad, &good])).await;
        let mut client = rig.client().await;
        let mut refused = 0;
        for _ in 0..40 {
            refused += usize::from(client.ask(&ask).await.status() == 503);
        }
        assert_eq!(refused, 3);
        assert_eq!(rig.state(bad.address).await, "ejected");
        assert_eq!(rig.state(good.address).await, "up");
    }
    let rig = Rig::start(&shop(&COUNTED.replace("true", "false"), [&bad, &good])).await;
    let mut client = rig.client().await;
    for _ in 0..40 {
        client.ask(get("/")).await;
    }
    assert_eq!(
        rig.state(bad.address).await,
        "up",
        "unless it is not told to"
    );
}

/// What none can do is no single one's fault: leaving some out would only crowd the rest.
#[tokio::test(flavor = "multi_thread")]
async fn none_is_left_out_when_all_answer_503() {
    let (one, two) = (unavailable().await, unavailable().await);
    let rig = Rig::start(&shop(COUNTED, [&one, &two])).await;
    let mut client = rig.client().await;
    for _ in 0..40 {
        assert_eq!(client.ask(get("/")).await.status(), 503);
    }
    assert_eq!((one.count(), two.count()), (20, 20));
    for upstream in [&one, &two] {
        assert_eq!(rig.state(upstream.address).await, "up");
    }
    two.behave(|_| Reply::Echo);
    eventually("the one that still does is left out", async || {
        client.ask(get("/")).await;
        rig.state(one.address).await == "ejected"
    })
    .await;
}
