//! Active checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{
    NO_SERVER, Reply, Rig, Upstream, answered_by, eventually, get, problem, request, shop,
};

const CHECKS: &str = "health = { path = \"/alive\", status = 204, interval = \"50ms\", timeout = \"500ms\", down_after = 3, up_after = 2 }\nejection = { failures = 0 }";

/// An upstream whose answer to checks can be switched.
async fn switched() -> (Upstream, Arc<AtomicBool>) {
    let alive = Arc::new(AtomicBool::new(true));
    let shown = alive.clone();
    let upstream = Upstream::with(move |request| match request.target() {
        "/alive" if shown.load(Ordering::SeqCst) => Reply::Answer(204, vec![], String::new()),
        "/alive" => Reply::Answer(200, vec![], "no longer".into()),
        _ => Reply::Echo,
    })
    .await;
    (upstream, alive)
}

fn requests(upstream: &Upstream) -> usize {
    upstream.count() - upstream.count_of("/alive")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_goes_down_and_up_by_its_checks() {
    let ((one, one_alive), (two, two_alive)) = (switched().await, switched().await);
    let rig = Rig::start(&shop(CHECKS, [&one, &two])).await;
    eventually("both are up", async || {
        rig.state(one.address).await == "up" && rig.state(two.address).await == "up"
    })
    .await;

    one_alive.store(false, Ordering::SeqCst);
    rig.wait_for_state(one.address, "down").await;
    // Checks of a busy machine may have found it down too, for a moment.
    rig.wait_for_state(two.address, "up").await;
    let before = requests(&one);
    for _ in 0..20 {
        assert_eq!(answered_by(&rig.get("/").await), two.address);
    }
    assert_eq!(requests(&one), before);
    let label = format!("upstream=\"{}\"", one.address);
    let healthy = "store_proxy_upstream_healthy";
    assert_eq!(rig.metric(healthy, &[&label]).await, 0.0);

    two_alive.store(false, Ordering::SeqCst);
    rig.wait_for_state(two.address, "down").await;
    let answer = rig.get("/").await;
    assert_eq!(problem(&answer, 503), NO_SERVER);
    assert!(answer.header("retry-after").is_some());

    one_alive.store(true, Ordering::SeqCst);
    rig.wait_for_state(one.address, "up").await;
    assert_eq!(answered_by(&rig.get("/").await), one.address);
    assert_eq!(rig.metric(healthy, &[&label]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failed_check_is_not_enough() {
    let (upstream, _) = switched().await;
    // More than fail in a row if we are held up for seconds, and fewer than fail in all.
    let keys = CHECKS.replace("down_after = 3", "down_after = 10");
    let rig = Rig::start(&shop(&keys, [&upstream])).await;
    let checks = std::sync::atomic::AtomicUsize::new(0);
    upstream.behave(move |request| match request.target() {
        // Two failures, one success, and so on: the fourteenth check is the tenth that fails.
        "/alive" => match checks.fetch_add(1, Ordering::SeqCst) % 3 {
            2 => Reply::Answer(204, vec![], String::new()),
            _ => Reply::Close,
        },
        _ => Reply::Echo,
    });
    let before = upstream.count_of("/alive");
    let mut client = rig.client().await;
    eventually("a few checks have passed", async || {
        assert_eq!(client.ask(get("/")).await.status(), 200);
        upstream.count_of("/alive") > before + 15
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_hangs_is_found_by_its_checks() {
    let (upstream, _) = switched().await;
    let rig = Rig::start(&shop(CHECKS, [&upstream])).await;
    upstream.behave(|_| Reply::Silence);
    rig.wait_for_state(upstream.address, "down").await;
    problem(&rig.get("/").await, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_dies_and_comes_back_is_found_by_its_checks() {
    let (upstream, _) = switched().await;
    let rig = Rig::start(&shop(CHECKS, [&upstream])).await;
    upstream.stop().await;
    rig.wait_for_state(upstream.address, "down").await;
    upstream.start_again().await;
    rig.wait_for_state(upstream.address, "up").await;
    assert_eq!(rig.get("/").await.status(), 200);
}

/// Its database is gone, say: some of what it is asked for it can answer all the same.
#[tokio::test(flavor = "multi_thread")]
async fn upstreams_that_are_not_ready_serve_when_nobody_else_can() {
    let ((one, _), (two, two_alive)) = (switched().await, switched().await);
    let rig = Rig::start(&shop(CHECKS, [&one, &two])).await;
    one.behave(|request| match request.target() {
        "/alive" => Reply::Answer(503, vec![], "no database".into()),
        _ => Reply::Echo,
    });
    rig.wait_for_state(one.address, "unready").await;
    // Checks of a busy machine may have found either down, for a moment.
    rig.wait_for_state(two.address, "up").await;
    for _ in 0..20 {
        assert_eq!(answered_by(&rig.get("/").await), two.address);
    }
    two_alive.store(false, Ordering::SeqCst);
    rig.wait_for_state(two.address, "down").await;
    rig.wait_for_state(one.address, "unready").await;
    for _ in 0..20 {
        assert_eq!(answered_by(&rig.get("/").await), one.address);
    }
    one.behave(|_| Reply::Silence);
    rig.wait_for_state(one.address, "down").await;
    problem(&rig.get("/").await, 503);
}

/// Nobody would ever find it up again.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_down_is_used_once_nothing_checks_it() {
    let (upstream, alive) = switched().await;
    let rig = Rig::start(&shop(CHECKS, [&upstream])).await;
    alive.store(false, Ordering::SeqCst);
    rig.wait_for_state(upstream.address, "down").await;
    rig.reload(&shop("ejection = { failures = 0 }", [&upstream]))
        .await;
    assert_eq!(rig.state(upstream.address).await, "up");
    assert_eq!(rig.get("/").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_back_before_a_check_sees_it_is_better_than_an_error() {
    let ((restarted, alive), (next, _)) = (switched().await, switched().await);
    // One check each, the first, however long it takes: nobody sees what happens later.
    let checks = CHECKS
        .replace("interval = \"50ms\"", "interval = \"1h\"")
        .replace("timeout = \"500ms\"", "timeout = \"20s\"")
        .replace("down_after = 3", "down_after = 1");
    alive.store(false, Ordering::SeqCst);
    let rig = Rig::start(&shop(&checks, [&restarted, &next])).await;
    rig.wait_for_state(restarted.address, "down").await;
    eventually("the other is checked too", async || {
        next.count_of("/alive") == 1 && next.open_connections() == 0
    })
    .await;
    next.stop().await;
    for method in ["GET", "POST"] {
        let answer = rig.ask(request(method, "/", &[], "body")).await;
        assert_eq!(answered_by(&answer), restarted.address, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_broke_a_request_is_asked_again_before_one_that_is_down() {
    let (down, alive) = switched().await;
    alive.store(false, Ordering::SeqCst);
    let breaks = AtomicBool::new(true);
    let working = Upstream::with(move |request| match request.target() {
        "/alive" => Reply::Answer(204, vec![], String::new()),
        _ if breaks.swap(false, Ordering::SeqCst) => Reply::Close,
        _ => Reply::Echo,
    })
    .await;
    let rig = Rig::start(&shop(CHECKS, [&down, &working])).await;
    eventually("one is down", async || {
        rig.state(down.address).await == "down" && rig.state(working.address).await == "up"
    })
    .await;
    assert_eq!(answered_by(&rig.get("/").await), working.address);
    assert_eq!((requests(&down), requests(&working)), (0, 2));
}
