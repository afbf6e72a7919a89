//! What a component does wrong costs its own requests, never the host or anyone else. Each misbehaving version is
//! swapped in while others serve.

use std::time::Duration;

use reqwest::Method;
use testbed::HostOptions;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::operator::{GuestApp, HELD, bare_store, guest, guest_shop, operated, refusal};
use crate::support::{Shop, TOOK_TOO_LONG, eventually, send};

/// A host whose component `guest` has these limits, with a version swapped in.
async fn host_with(limits: &str, version: Vec<u8>) -> Shop {
    host_so(limits, version, |options| options).await
}

async fn host_so(
    limits: &str,
    version: Vec<u8>,
    change: impl Fn(HostOptions) -> HostOptions,
) -> Shop {
    let store = bare_store().await;
    let app = GuestApp::with_limits(&store, limits);
    let options = app.options(change(operated(&store)));
    let shop = Shop::on(store, options).await;
    serves(&shop, "original").await;
    shop.swap("guest", version).await.expect(200);
    shop
}

/// Waits until the version answers within its limits, which a busy machine may not let it do at once.
async fn serves(shop: &Shop, version: &str) {
    eventually(version, async || {
        let answer = shop.get("/x").await;
        answer.status == 200 && answer.text == version
    })
    .await;
}

/// Has a request loop until its time limit, and does something meanwhile; both again, if the limit came first.
async fn beside_a_loop(shop: &Shop, path: &str, mut meanwhile: impl AsyncFnMut()) {
    eventually("others are served beside the loop", async || {
        let mut looping = tokio::spawn(send(shop.request(Method::GET, path)));
        let ended = tokio::select! {
            ended = &mut looping => Some(ended),
            () = meanwhile() => None,
        };
        let is_beside = ended.is_none() && !looping.is_finished();
        let ended = match ended {
            Some(ended) => ended,
            None => looping.await,
        };
        assert_eq!(ended.unwrap().problem(504), TOOK_TOO_LONG);
        is_beside
    })
    .await;
}

async fn traps(shop: &Shop, component: &str) -> f64 {
    let series = format!("store_traps_total{{component=\"{component}\"}}");
    shop.metric(&series).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_ends_at_its_time_limit_and_others_are_served_meanwhile() {
    let shop = host_with(r#"request_timeout = "1s""#, guest("second").into_bytes()).await;
    let mut before = 0.0;
    beside_a_loop(&shop, "/loop", async || {
        before = traps(&shop, "guest").await;
        shop.wait_in_flight("guest", 1).await;
        for _ in 0..5 {
            assert_eq!(shop.answer("/other/x").await, "other");
        }
    })
    .await;
    // The request is over, and so is what worked on it.
    eventually("its instance is gone", async || {
        traps(&shop, "guest").await > before
    })
    .await;
    serves(&shop, "second").await;
    assert_eq!(traps(&shop, "other").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_bomb_is_refused_and_its_instance_serves_on() {
    let shop = host_with("memory_limit_mib = 64", guest("second").into_bytes()).await;
    let answer = shop.get("/bomb").await;
    assert_eq!(answer.status, 507, "{answer:?}");
    let eaten: u32 = answer
        .text
        .split_whitespace()
        .nth(2)
        .unwrap()
        .parse()
        .unwrap();
    assert!((48..64).contains(&eaten), "{answer:?}");
    assert_eq!(shop.answer("/x").await, "second");
    assert_eq!(traps(&shop, "guest").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_limit_is_for_all_memories_together() {
    // Neither memory alone comes near 64 MiB.
    let version = guest("second").second_memory(40);
    let shop = host_with("memory_limit_mib = 64", version.into_bytes()).await;
    assert_eq!(shop.get("/bomb?10").await.text, "took 10 MiB");
    let answer = shop.get("/bomb?40").await;
    assert_eq!(answer.status, 507, "{answer:?}");
    assert!(answer.text.starts_with("refused after "), "{answer:?}");

    // The same request, without the second memory, is within the limit.
    shop.swap_in("third").await;
    assert_eq!(shop.get("/bomb?40").await.text, "took 40 MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_starts_over_the_memory_limit_is_refused() {
    let store = bare_store().await;
    let app = GuestApp::with_limits(&store, "memory_limit_mib = 64");
    let options = app.options(operated(&store));
    let shop = Shop::on(store, options).await;
    let answer = shop
        .swap("guest", guest("second").second_memory(64).into_bytes())
        .await;
    let reason = refusal(&answer, 422, Some("probe"));
    assert!(reason.contains("exceeds memory limits"), "{reason}");
    assert_eq!(shop.answer("/x").await, "original");
}

/// The host holds the heads that a component makes.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_makes_no_head_that_is_too_large_and_not_too_many() {
    let shop = host_with("", guest("second").into_bytes()).await;
    assert_eq!(shop.get("/head?15").await.text, "Ok(())");
    let large = shop.get("/head?16").await;
    assert!(large.text.contains("SizeExceeded"), "{large:?}");
    assert_eq!(shop.get("/heads?4000").await.text, "held 4000");
    let many = shop.get("/heads?10000").await;
    assert_eq!(many.problem(500), "the request could not be served");
    assert_eq!(traps(&shop, "guest").await, 1.0);
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_writes_without_end_has_its_share_of_the_log() {
    let limits = "log_lines_per_second = 5";
    let shop = host_with(limits, guest("second").into_bytes()).await;
    assert_eq!(shop.answer("/write?10000").await, "second");
    let series = "store_log_lines_dropped_total{component=\"guest\"}";
    let dropped = shop.metric(series).await as usize;
    assert!(dropped > 0);
    eventually("the others are written", async || {
        let log = shop.host.log();
        log.matches("asked to write").count() + dropped == 10_000
    })
    .await;
    eventually("the log tells of it", async || {
        assert_eq!(shop.answer("/write").await, "second");
        let log = shop.host.log();
        log.contains("lines of component `guest`")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_fails_the_requests_of_its_instance_and_no_others() {
    let shop = host_with("instance_concurrency = 2", guest("second").into_bytes()).await;
    // Two requests fill the first instance, and the third needs another.
    let mut held = Vec::new();
    for number in 1..=3 {
        held.push(tokio::spawn(send(shop.request(Method::GET, HELD))));
        shop.wait_in_flight("guest", number).await;
    }
    // The one place that is left is beside the third; or else it gets an instance of its own.
    let trapped = shop.get("/trap").await.problem(500);
    assert_eq!(trapped, "the request could not be served");
    assert_eq!(shop.answer("/other/x").await, "other");
    let mut statuses = Vec::new();
    for request in held {
        let answer = request.await.unwrap();
        statuses.push(answer.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[..2], [200, 200], "another instance was hit");
    assert!([200, 500].contains(&statuses[2]), "{statuses:?}");
    assert_eq!(traps(&shop, "guest").await, 1.0);
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_after_which_another_answer_must_come_is_no_answer() {
    let shop = host_with("", guest("second").into_bytes()).await;
    for status in [100, 101, 103] {
        let answer = shop.get(&format!("/status?{status}")).await;
        assert_eq!(answer.problem(500), "the request could not be served");
    }
    assert_eq!(shop.get("/status?418").await.status, 418);
    assert_eq!(traps(&shop, "guest").await, 0.0);
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shares_an_instance_with_a_loop_is_told_the_same() {
    let limits = r#"request_timeout = "5s", instance_concurrency = 2"#;
    let shop = host_with(limits, guest("second").into_bytes()).await;
    let held = tokio::spawn(send(shop.request(Method::GET, "/sleep?600000")));
    shop.wait_in_flight("guest", 1).await;
    let looping = send(shop.request(Method::GET, "/loop")).await;
    assert_eq!(looping.problem(504), TOOK_TOO_LONG);
    let held = held.await.unwrap();
    assert_eq!(held.problem(504), TOOK_TOO_LONG);
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_does_not_hold_a_generation() {
    let flags = ["--swap-drain-timeout", "300ms", "--send-timeout", "1h"];
    let (shop, _app) = guest_shop(&flags).await;
    let address = shop.host.url("");
    let mut client = TcpStream::connect(address.trim_start_matches("http://"))
        .await
        .unwrap();
    // More than the kernel takes for a client that reads nothing.
    client
        .write_all(b"GET /large?24 HTTP/1.1\r\nhost: shop\r\n\r\n")
        .await
        .unwrap();
    client.readable().await.unwrap();
    shop.swap_in("second").await;
    shop.wait_freed("guest", 1).await;
    assert_eq!(traps(&shop, "guest").await, 0.0, "a cut is no trap");
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeper_does_not_keep_others_of_its_instance_waiting() {
    let limits = r#"request_timeout = "5s", instance_concurrency = 16"#;
    let shop = host_with(limits, guest("second").into_bytes()).await;
    let sleeping = tokio::spawn(send(shop.request(Method::GET, "/sleep")));
    shop.wait_in_flight("guest", 1).await;
    for _ in 0..5 {
        assert_eq!(shop.answer("/x").await, "second");
    }
    assert_eq!(sleeping.await.unwrap().problem(504), TOOK_TOO_LONG);
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_after_a_wait_keeps_nobody_of_its_component_waiting() {
    let shop = host_with(r#"request_timeout = "5s""#, guest("second").into_bytes()).await;
    beside_a_loop(&shop, "/loop?50", async || {
        // Its instance has looked for requests and slept by the time it loops.
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..5 {
            assert_eq!(shop.answer("/x").await, "second");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_of_one_component_leave_room_for_others() {
    let limits = r#"request_timeout = "1s", max_in_flight = 4"#;
    let shop = host_with(limits, guest("second").into_bytes()).await;
    let loops: Vec<_> = (0..8)
        .map(|_| tokio::spawn(send(shop.request(Method::GET, "/loop"))))
        .collect();
    for _ in 0..5 {
        assert_eq!(shop.answer("/other/x").await, "other");
    }
    for request in loops {
        // 503 over the limit, 504 at its own time limit, 500 when its instance ended over a neighbour's.
        let status = request.await.unwrap().status;
        assert!(status.is_server_error(), "{status}");
    }
    // Who loops is answered at its time limit, and its instance ends, and gives its place back, shortly after.
    eventually("the loops have ended", async || {
        let answer = shop.get("/x").await;
        answer.status == 200 && answer.text == "second"
    })
    .await;
}
