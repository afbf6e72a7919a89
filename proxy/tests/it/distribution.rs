//! Who gets which request.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::support::{
    Client, Rig, Upstream, answered_by, eventually, get, group, request, server_at, shop,
};

async fn upstreams(count: usize) -> Vec<Upstream> {
    let mut upstreams = Vec::new();
    for _ in 0..count {
        upstreams.push(Upstream::start().await);
    }
    upstreams
}

/// Sends `each` requests on each of eight connections at once.
async fn flood(rig: &Rig, each: usize) {
    let clients = (0..8).map(|_| async {
        let mut client = rig.client().await;
        for _ in 0..each {
            assert_eq!(client.ask(get("/")).await.status(), 200);
        }
    });
    futures::future::join_all(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_is_exact() {
    let upstreams = upstreams(3).await;
    let rig = Rig::start(&shop("", &upstreams)).await;
    let mut client = rig.client().await;
    let mut order = Vec::new();
    for _ in 0..9 {
        order.push(answered_by(&client.ask(get("/")).await));
    }
    assert_eq!(order[..3], order[3..6]);
    assert_eq!(order[..3], order[6..]);
    flood(&rig, 300).await;
    let counts: Vec<usize> = upstreams.iter().map(Upstream::count).collect();
    assert_eq!(counts, [803, 803, 803]);
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_are_kept_within_one_percent() {
    let upstreams = upstreams(3).await;
    let servers = upstreams.iter().zip([1, 3, 6]);
    let servers = servers.map(|(u, weight)| server_at(u.address, &format!("weight = {weight}")));
    let rig = Rig::start(&group("shop", "policy = \"weighted_round_robin\"", servers)).await;
    flood(&rig, 250).await;
    for (upstream, ideal) in upstreams.iter().zip([200, 600, 1_200]) {
        let off = upstream.count().abs_diff(ideal);
        assert!(off <= 20, "{} instead of {ideal}", upstream.count());
    }
}

/// The heavy one must not get all its share in one go.
#[tokio::test(flavor = "multi_thread")]
async fn weights_are_spread_over_the_sequence() {
    let upstreams = upstreams(2).await;
    let servers = upstreams.iter().zip([1, 4]);
    let servers = servers.map(|(u, weight)| server_at(u.address, &format!("weight = {weight}")));
    let rig = Rig::start(&group("shop", "policy = \"weighted_round_robin\"", servers)).await;
    let mut client = rig.client().await;
    for round in 1..=20 {
        for _ in 0..5 {
            client.ask(get("/")).await;
        }
        assert_eq!(upstreams[0].count(), round);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn least_connections_prefers_the_idle_upstream() {
    let upstreams = upstreams(2).await;
    let gate = upstreams[0].hold();
    let rig = Rig::start(&shop("policy = \"least_connections\"", &upstreams)).await;
    // Two at once go to one each; the first one's stays.
    let mut held = rig.client().await;
    held.send(get("/held")).await;
    let mut other = rig.client().await;
    other.send(get("/held")).await;
    eventually("both have one", async || {
        upstreams.iter().all(|upstream| upstream.count() == 1)
    })
    .await;
    // The other one is idle once its answer has gone on.
    rig.wait_for_metric("store_proxy_upstream_in_flight", &[], 1.0)
        .await;
    let mut client = rig.client().await;
    for _ in 0..50 {
        let answer = client.ask(get("/")).await;
        assert_eq!(answered_by(&answer), upstreams[1].address);
    }
    gate.add_permits(1_000);
    held.answer().await;
    other.answer().await;
    // Idle again, the slow one gets its share of what comes next.
    eventually("the slow one is used again", async || {
        client.ask(get("/")).await;
        upstreams[0].count() > 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn least_connections_gives_a_faster_upstream_more() {
    let upstreams = upstreams(2).await;
    let (slow, fast) = (&upstreams[0], &upstreams[1]);
    let gate = slow.hold();
    let rig = Rig::start(&shop("policy = \"least_connections\"", &upstreams)).await;
    let meanwhile = async {
        eventually("the fast one gets more", async || fast.count() >= 300).await;
        // Half of the eight clients wait there, and perhaps one more, as the proxy's two threads may pick at once.
        let waiting = slow.count();
        assert!(waiting <= 5, "the slow one got {waiting}");
        gate.add_permits(1_000);
    };
    tokio::join!(flood(&rig, 100), meanwhile);
    assert_eq!(slow.count() + fast.count(), 800);
}

/// Which upstream each of `count` keys goes to.
async fn owners(rig: &Rig, count: usize) -> BTreeMap<usize, SocketAddr> {
    let mut client = rig.client().await;
    let mut owners = BTreeMap::new();
    for key in 0..count {
        let name = format!("customer-{key}");
        let answer = client
            .ask(request("GET", "/", &[("x-customer", &name)], ""))
            .await;
        owners.insert(key, answered_by(&answer));
    }
    owners
}

const BY_CUSTOMER: &str = "policy = \"consistent_hash\"\nhash_on = \"header:x-customer\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_moves_only_the_keys_of_the_upstream_that_goes() {
    const KEYS: usize = 2_000;
    let upstreams = upstreams(5).await;
    let rig = Rig::start(&shop(BY_CUSTOMER, &upstreams)).await;
    let before = owners(&rig, KEYS).await;
    assert_eq!(owners(&rig, KEYS).await, before);
    for upstream in &upstreams {
        let own = before.values().filter(|a| **a == upstream.address).count();
        // A fifth each would be 400.
        assert!((200..=600).contains(&own), "{own} of {KEYS} keys");
    }

    rig.reload(&shop(BY_CUSTOMER, &upstreams[..4])).await;
    let after = owners(&rig, KEYS).await;
    let gone = upstreams[4].address;
    let moved = (0..KEYS).filter(|key| before[key] != after[key]).count();
    let needed = before.values().filter(|a| **a == gone).count();
    assert_eq!(moved, needed, "only the keys of the one that went move");
    // About 1/N: a fifth, and half as much again.
    assert!(moved <= KEYS * 3 / 10, "{moved} of {KEYS} keys moved");
    assert!(after.values().all(|address| *address != gone));

    rig.reload(&shop(BY_CUSTOMER, &upstreams)).await;
    assert_eq!(owners(&rig, KEYS).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_moves_only_the_keys_of_an_upstream_that_is_down() {
    const KEYS: usize = 400;
    let upstreams = upstreams(4).await;
    let rig = Rig::start(&shop(BY_CUSTOMER, &upstreams)).await;
    let before = owners(&rig, KEYS).await;
    upstreams[2].stop().await;
    let after = owners(&rig, KEYS).await;
    for key in 0..KEYS {
        if before[&key] == upstreams[2].address {
            assert_ne!(after[&key], before[&key]);
        } else {
            assert_eq!(after[&key], before[&key]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_of_the_client_address_keeps_a_client_on_its_upstream() {
    let upstreams = upstreams(4).await;
    let rig = Rig::start(&shop("policy = \"consistent_hash\"", &upstreams)).await;
    let mut used = BTreeMap::new();
    for client in 1..=40 {
        let source = format!("127.0.1.{client}");
        let mut owners = Vec::new();
        for _ in 0..3 {
            let mut client = Client::connect_from(&source, rig.address).await;
            owners.push(answered_by(&client.ask(get("/")).await));
        }
        assert!(owners.iter().all(|owner| *owner == owners[0]), "{owners:?}");
        *used.entry(owners[0]).or_insert(0) += 1;
    }
    assert!(used.len() >= 3, "{used:?}");
}
