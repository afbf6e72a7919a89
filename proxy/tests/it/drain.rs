//! Taking an upstream out for maintenance.

use crate::support::{Load, NO_SERVER, Rig, Upstream, answered_by, eventually, get, problem, shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_until_the_upstream_is_idle() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let gate = one.hold();
    let rig = Rig::start(&shop("", [&one, &two])).await;
    let mut held = rig.client().await;
    eventually("the first has one", async || {
        held = rig.client().await;
        held.send(get("/held")).await;
        let other = two.count();
        eventually("somebody got it", async || {
            one.count() == 1 || two.count() > other
        })
        .await;
        one.count() == 1
    })
    .await;

    let name = one.address.to_string();
    let arguments = ["drain", name.as_str()];
    let drain = rig.control(&arguments);
    tokio::pin!(drain);
    // It is under way when it shows, and not over while the request is.
    tokio::select! {
        output = &mut drain => panic!("it did not wait: {output:?}"),
        () = eventually("it shows", async || rig.state(one.address).await == "draining") => {}
    }
    for _ in 0..6 {
        assert_eq!(answered_by(&rig.get("/").await), two.address);
    }
    gate.add_permits(1);
    let output = drain.await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(answered_by(&held.answer().await), one.address);
    assert_eq!(rig.state(one.address).await, "drained");

    gate.add_permits(100);
    let output = rig.control(&["undrain", &name]).await;
    assert!(output.status.success(), "{output:?}");
    eventually("it is used again", async || {
        answered_by(&rig.get("/").await) == one.address
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_each_in_turn_under_load_costs_no_request() {
    let upstreams = [Upstream::start().await, Upstream::start().await];
    let rig = Rig::start(&shop("", &upstreams)).await;
    let load = Load::start(rig.address, 8, |n| (format!("/{n}"), get(&format!("/{n}"))));
    for upstream in upstreams.iter().cycle().take(4) {
        let name = upstream.address.to_string();
        let output = rig.control(&["drain", &name]).await;
        assert!(output.status.success(), "{output:?}");
        let before = upstream.count();
        load.answers(100).await;
        assert_eq!(upstream.count(), before, "nothing reaches it");
        // As if it were replaced by a new version.
        upstream.stop().await;
        upstream.start_again().await;
        let output = rig.control(&["undrain", &name]).await;
        assert!(output.status.success(), "{output:?}");
        load.answers(100).await;
        assert!(upstream.count() > before, "it is used again");
    }
    load.stop().await.assert_only(&[200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_drained_it_is_503_and_unknown_names_are_errors() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let output = rig.control(&["drain", "127.0.0.1:1"]).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("127.0.0.1:1"), "{said}");
    let output = rig.control(&["drain", &upstream.address.to_string()]).await;
    assert!(output.status.success(), "{output:?}");
    let answer = rig.get("/").await;
    assert_eq!(problem(&answer, 503), NO_SERVER);
    assert!(answer.header("retry-after").is_some());
    let output = rig.control(&["status"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("drained"), "{said}");
}
