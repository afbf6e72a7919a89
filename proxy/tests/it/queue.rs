//! How many requests an upstream gets at once, and how many wait for it.

use crate::support::{
    Rig, Upstream, answered_by, eventually, get, group, problem, server, server_at,
};

fn one_server(upstream: &Upstream, keys: &str, queue_timeout: &str) -> String {
    let timeout = format!("queue_timeout = \"{queue_timeout}\"");
    group("shop", &timeout, [server_at(upstream.address, keys)])
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_an_upstream_takes_wait_and_more_than_the_queue_holds_are_503() {
    let (upstream, gate) = Upstream::holding("/held").await;
    let limits = "max_connections = 2, max_queue = 3";
    let rig = Rig::start(&one_server(&upstream, limits, "60s")).await;
    let mut waiting = Vec::new();
    for number in 1..=5 {
        let mut client = rig.client().await;
        client.send(get("/held")).await;
        waiting.push(client);
        eventually("it is counted", async || {
            let status = rig.status_of(upstream.address).await;
            let count = |key: &str| status[key].as_u64().unwrap();
            count("in_flight") + count("queued") == number
        })
        .await;
    }
    let status = rig.status_of(upstream.address).await;
    assert_eq!(
        (&status["in_flight"], &status["queued"]),
        (&2.into(), &3.into())
    );
    assert_eq!(rig.metric("store_proxy_upstream_queued", &[]).await, 3.0);
    assert_eq!(rig.metric("store_proxy_upstream_in_flight", &[]).await, 2.0);
    assert_eq!(upstream.count(), 2);

    let refused = rig.get("/held").await;
    assert_eq!(
        problem(&refused, 503),
        "all servers are busy; try again later"
    );
    assert!(refused.header("retry-after").is_some());

    gate.add_permits(100);
    for mut client in waiting {
        assert_eq!(client.answer().await.status(), 200);
    }
    assert_eq!(upstream.count(), 5);
    eventually("nothing is left over", async || {
        let status = rig.status_of(upstream.address).await;
        status["in_flight"] == 0 && status["queued"] == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_in_the_queue_ends_with_503() {
    let (upstream, gate) = Upstream::holding("/held").await;
    let limits = "max_connections = 1, max_queue = 3";
    let rig = Rig::start(&one_server(&upstream, limits, "200ms")).await;
    let mut first = rig.client().await;
    first.send(get("/held")).await;
    eventually("it is there", async || upstream.count() == 1).await;
    problem(&rig.get("/held").await, 503);
    gate.add_permits(1);
    assert_eq!(first.answer().await.status(), 200);
    assert_eq!(rig.get("/").await.status(), 200);
    assert_eq!(upstream.count_of("/held"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_upstream_is_used_before_a_queue() {
    let ((busy, gate), free) = (Upstream::holding("/held").await, Upstream::start().await);
    let servers = [
        server_at(busy.address, "max_connections = 1"),
        server(&free),
    ];
    let rig = Rig::start(&group("shop", "", servers)).await;
    let mut first = rig.client().await;
    // Round robin: one of the first two gets to the busy one.
    let mut second = rig.client().await;
    first.send(get("/held")).await;
    second.send(get("/held")).await;
    eventually("the busy one is busy", async || busy.count() == 1).await;
    for _ in 0..10 {
        assert_eq!(answered_by(&rig.get("/").await), free.address);
    }
    gate.add_permits(2);
    first.answer().await;
    second.answer().await;
}

/// A waiting client that gives up must give up its place too.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_its_place() {
    let (upstream, gate) = Upstream::holding("/held").await;
    let limits = "max_connections = 1, max_queue = 8";
    let rig = Rig::start(&one_server(&upstream, limits, "60s")).await;
    let mut first = rig.client().await;
    first.send(get("/held")).await;
    eventually("it is there", async || upstream.count() == 1).await;
    let mut leaving = Vec::new();
    for _ in 0..4 {
        let mut client = rig.client().await;
        client.send(get("/held")).await;
        leaving.push(client);
    }
    let queued = async |count: u64| {
        eventually("the queue has its length", async || {
            rig.status_of(upstream.address).await["queued"] == count
        })
        .await;
    };
    queued(4).await;
    gate.add_permits(100);
    first.answer().await;
    drop(leaving);
    queued(0).await;
    eventually("nothing is in flight", async || {
        rig.status_of(upstream.address).await["in_flight"] == 0
    })
    .await;
    assert_eq!(rig.get("/").await.status(), 200);
}
