//! Changes without a restart.

use testbed::Signal;

use crate::support::{Load, Rig, Upstream, answered_by, eventually, get, problem, request, shop};

fn mixed(n: usize) -> (String, String) {
    let target = format!("/{n}");
    let bytes = match n % 3 {
        0 => request("POST", &target, &[], "body"),
        _ => get(&target),
    };
    (target, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_cost_no_request() {
    let upstreams = [
        Upstream::start().await,
        Upstream::start().await,
        Upstream::start().await,
    ];
    let rig = Rig::start(&shop("", &upstreams)).await;
    let load = Load::start(rig.address, 16, mixed);
    let policies = [
        "round_robin",
        "least_connections",
        "weighted_round_robin",
        "consistent_hash",
    ];
    for round in 0..12 {
        let keys = format!("policy = \"{}\"", policies[round % 4]);
        let some = upstreams
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != round % 3);
        rig.write(&shop(&keys, some.map(|(_, upstream)| upstream)));
        if round % 2 == 0 {
            rig.signal(Signal::SIGHUP);
        } else {
            let output = rig.control(&["reload"]).await;
            assert!(output.status.success(), "{output:?}");
        }
        load.answers(200).await;
    }
    load.stop().await.assert_only(&[200]);
    let reloads = rig
        .metric("store_proxy_reloads_total", &["result=\"ok\""])
        .await;
    assert_eq!(reloads, 12.0);
    let total: usize = upstreams.iter().map(Upstream::count).sum();
    assert!(total > 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_limits_and_policy_are_those_of_the_new_file() {
    let (old, new) = (Upstream::start().await, Upstream::start().await);
    let rig = Rig::start(&shop("", [&old])).await;
    let mut client = rig.client().await;
    assert_eq!(answered_by(&client.ask(get("/")).await), old.address);
    let limits = "[limits]\nbody_bytes = 3\n";
    rig.reload(&format!("{limits}{}", shop("", [&new]))).await;
    assert_eq!(answered_by(&client.ask(get("/")).await), new.address);
    let large = request("POST", "/", &[], "four");
    assert_eq!(
        problem(&rig.ask(large).await, 413),
        "the body is larger than 3 bytes"
    );
}

/// An answer that is on its way comes from an upstream that the file no longer has.
#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_finish_on_the_upstream_they_began_with() {
    let (old, new) = (Upstream::start().await, Upstream::start().await);
    let gate = old.hold();
    let rig = Rig::start(&shop("", [&old])).await;
    let mut waiting = rig.client().await;
    waiting.send(request("POST", "/", &[], "body")).await;
    eventually("it has arrived", async || old.count() == 1).await;
    rig.reload(&shop("", [&new])).await;
    assert_eq!(answered_by(&rig.get("/").await), new.address);
    gate.add_permits(1);
    assert_eq!(answered_by(&waiting.answer().await), old.address);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_an_error_changes_nothing_and_says_where_it_is() {
    let upstream = Upstream::start().await;
    let good = shop("", [&upstream]);
    let rig = Rig::start(&good).await;
    rig.write(&good.replace("servers", "serverz"));
    let output = rig.control(&["reload"]).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("serverz") && said.contains("servers"),
        "{said}"
    );
    rig.signal(Signal::SIGHUP);
    let failed = &["result=\"failed\""];
    rig.wait_for_metric("store_proxy_reloads_total", failed, 2.0)
        .await;
    assert_eq!(rig.get("/").await.status(), 200);
    rig.reload(&good).await;
    assert_eq!(rig.get("/").await.status(), 200);
}

/// What an upstream has gone through stays known over a reload that keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_stays_keeps_its_state() {
    let (bad, good) = (Upstream::closing().await, Upstream::start().await);
    let keys = "ejection = { failures = 2, base = \"60s\", max = \"60s\" }";
    let config = shop(keys, [&bad, &good]);
    let rig = Rig::start(&config).await;
    eventually("it is left out", async || {
        rig.get("/").await;
        rig.state(bad.address).await == "ejected"
    })
    .await;
    let output = rig.control(&["drain", &good.address.to_string()]).await;
    assert!(output.status.success(), "{output:?}");
    rig.reload(&config.replace("failures = 2", "failures = 4"))
        .await;
    assert_eq!(rig.state(bad.address).await, "ejected");
    assert_eq!(rig.state(good.address).await, "drained");
}
