//! Requests that are tried again, and those that are not because they could then be done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncReadExt;

use crate::support::upstream::Unreachable;
use crate::support::{
    BROKE_OFF, Message, NO_EJECTION, Reply, Rig, Upstream, answered_by, eventually, get, group,
    problem, request, server, server_at, shop,
};

/// So many tries that one gets an answer, even if an upstream that answers is held up for seconds.
const PATIENT: &str = "[retry]\nkeyed_posts = [\"/in\"]\nmax_tries = 20\n";

/// Two upstreams of which the first that gets a request fails it so, and all after that answer.
async fn first_fails(reply: Reply) -> [Upstream; 2] {
    let seen = Arc::new(AtomicUsize::new(0));
    let behaviour = move |_: &Message| match seen.fetch_add(1, Ordering::SeqCst) {
        0 => reply.clone(),
        _ => Reply::Echo,
    };
    [
        Upstream::with(behaviour.clone()).await,
        Upstream::with(behaviour).await,
    ]
}

/// A configuration in which POSTs with a key may come twice.
fn keyed(keys: &str, upstreams: &[Upstream]) -> String {
    let retry = "[retry]\nkeyed_posts = [\"/in\"]\n";
    format!("{retry}{}", shop(keys, upstreams))
}

fn total(upstreams: &[Upstream]) -> usize {
    upstreams.iter().map(Upstream::count).sum()
}

/// Waits until each has got a request. One that was held up may get it after its answer is no longer waited for.
async fn both_were_asked(upstreams: &[Upstream; 2]) {
    eventually("both were asked", async || {
        upstreams.iter().all(|upstream| upstream.count() > 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_listens_any_request_goes_to_the_next() {
    let (dead, live) = (Upstream::start().await, Upstream::start().await);
    dead.stop().await;
    let rig = Rig::start(&shop(NO_EJECTION, [&dead, &live])).await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
        for _ in 0..4 {
            let answer = rig.ask(request(method, "/", &[], "body")).await;
            assert_eq!(answered_by(&answer), live.address, "{method}");
            assert_eq!(answer.json()["body"], "body");
        }
    }
    assert_eq!(live.count(), 20);
    let retries = rig
        .metric("store_proxy_retries_total", &["reason=\"connect\""])
        .await;
    // One for each that came to the dead one first.
    assert!((10.0..=20.0).contains(&retries), "{retries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_never_comes_about_goes_to_the_next() {
    let (nowhere, live) = (Unreachable::start().await, Upstream::start().await);
    let servers = [server_at(nowhere.address, ""), server(&live)];
    let keys = format!("{NO_EJECTION}\nconnect_timeout = \"200ms\"");
    let rig = Rig::start(&group("shop", &keys, servers)).await;
    for _ in 0..2 {
        let answer = rig.ask(request("POST", "/", &[], "body")).await;
        assert_eq!(answered_by(&answer), live.address);
    }
    assert_eq!(live.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_safe_to_repeat_is_sent_again_when_the_connection_breaks() {
    for broken in [
        Reply::Close,
        Reply::Reset,
        Reply::BytesThenClose(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()),
    ] {
        for (method, body) in [("GET", ""), ("HEAD", ""), ("OPTIONS", "")] {
            let upstreams = first_fails(broken.clone()).await;
            let rig = Rig::start(&shop(NO_EJECTION, &upstreams)).await;
            let mut client = rig.client().await;
            client.send(request(method, "/in", &[], body)).await;
            let kind = match method {
                "HEAD" => crate::support::Kind::HeadResponse,
                _ => crate::support::Kind::Response,
            };
            let answer = client.try_answer(kind).await.unwrap();
            assert_eq!(answer.status(), 200, "{method} after {broken:?}");
            assert_eq!(total(&upstreams), 2);
            for upstream in &upstreams {
                let requests = upstream.requests();
                assert_eq!(requests.len(), 1, "each got it once");
                assert_eq!(requests[0].text(), body);
            }
            let reason = &["reason=\"broken\""];
            assert_eq!(rig.metric("store_proxy_retries_total", reason).await, 1.0);
        }
    }
}

/// The second answer to a deletion would be that there is nothing to delete.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_done_is_never_sent_twice() {
    let key = [("idempotency-key", "k")];
    for (method, target, headers) in [
        ("POST", "/in", &[][..]),
        ("POST", "/elsewhere", &key),
        ("PATCH", "/in", &key),
        ("PUT", "/in", &key),
        ("DELETE", "/in", &[]),
        ("DELETE", "/in", &key),
    ] {
        for broken in [Reply::Close, Reply::Reset] {
            let upstreams = first_fails(broken).await;
            let rig = Rig::start(&keyed(NO_EJECTION, &upstreams)).await;
            let answer = rig.ask(request(method, target, headers, "body")).await;
            assert_eq!(problem(&answer, 502), BROKE_OFF);
            assert_eq!(total(&upstreams), 1, "{method} {target}");
        }
    }
}

/// Without being told which servers honour keys, the proxy believes it of none.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_alone_makes_nothing_repeatable() {
    let upstreams = first_fails(Reply::Close).await;
    let rig = Rig::start(&shop(NO_EJECTION, &upstreams)).await;
    let key = [("idempotency-key", "k")];
    let answer = rig.ask(request("POST", "/in", &key, "body")).await;
    assert_eq!(problem(&answer, 502), BROKE_OFF);
    assert_eq!(total(&upstreams), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_with_a_key_is_sent_again_with_its_body_and_key() {
    let body = "x".repeat(50_000);
    let upstreams = first_fails(Reply::Close).await;
    let rig = Rig::start(&keyed(NO_EJECTION, &upstreams)).await;
    let key = [("idempotency-key", "key-1")];
    let answer = rig.ask(request("POST", "/in", &key, &body)).await;
    assert_eq!(answer.status(), 200);
    for upstream in &upstreams {
        let requests = upstream.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].text(), body);
        assert_eq!(requests[0].header("idempotency-key"), Some("key-1"));
    }
    let ids: Vec<_> = upstreams
        .iter()
        .map(|u| u.requests()[0].header("x-request-id").unwrap().to_owned())
        .collect();
    assert_eq!(ids[0], ids[1], "both tries are one request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_post_with_a_key_is_sent_again_whole() {
    let upstreams = first_fails(Reply::Close).await;
    let rig = Rig::start(&keyed(NO_EJECTION, &upstreams)).await;
    let head =
        "POST /in HTTP/1.1\r\nhost: a\r\nidempotency-key: k\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = rig
        .ask(format!("{head}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"))
        .await;
    assert_eq!(answer.status(), 200);
    for upstream in &upstreams {
        assert_eq!(upstream.requests()[0].text(), "hello world");
    }
}

/// 64 KiB are kept for a second try; what is larger is not repeated, and never in part.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_near_the_size_that_is_kept_is_sent_again_whole_or_not_at_all() {
    let key = [("idempotency-key", "k")];
    for (length, tries) in [(65_535, 2), (65_536, 2), (65_537, 1)] {
        let upstreams = first_fails(Reply::Close).await;
        let rig = Rig::start(&keyed(NO_EJECTION, &upstreams)).await;
        let body = "x".repeat(length);
        let answer = rig.ask(request("POST", "/in", &key, &body)).await;
        match tries {
            2 => assert_eq!(answer.status(), 200, "{length}"),
            _ => assert_eq!(problem(&answer, 502), BROKE_OFF, "{length}"),
        }
        assert_eq!(total(&upstreams), tries, "{length}");
        let requests = upstreams.iter().flat_map(Upstream::requests);
        assert!(requests.map(|r| r.text()).all(|text| text == body));
    }
}

/// The client was told to go on, and then its upstream was gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_waited_for_is_sent_again_too() {
    for (key, tries) in [("idempotency-key: k\r\n", 2), ("", 1)] {
        let upstreams = first_fails(Reply::Close).await;
        let rig = Rig::start(&keyed(NO_EJECTION, &upstreams)).await;
        let mut client = rig.client().await;
        let go_on = "expect: 100-continue\r\ncontent-length: 5\r\n";
        let head = format!("POST /in HTTP/1.1\r\nhost: a\r\n{key}{go_on}\r\n");
        client.send(head).await;
        let mut told = [0; 25];
        client.stream.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
        let answer = client.ask("hello").await;
        match tries {
            2 => assert_eq!(answer.status(), 200),
            _ => assert_eq!(problem(&answer, 502), BROKE_OFF),
        }
        assert_eq!(total(&upstreams), tries);
        let requests = upstreams.iter().flat_map(Upstream::requests);
        assert!(requests.map(|r| r.text()).all(|text| text == "hello"));
    }
}

/// The time that an upstream takes is not its client's: no 408.
#[tokio::test(flavor = "multi_thread")]
async fn silence_longer_than_a_body_may_take_is_another_upstreams_turn() {
    let limits = "[limits]\nbody_timeout = \"300ms\"\n";
    let keys = format!("{NO_EJECTION}\nread_timeout = \"900ms\"");
    let key = [("idempotency-key", "k")];
    for bytes in [get("/in"), request("POST", "/in", &key, "body")] {
        let upstreams = first_fails(Reply::Silence).await;
        let rig = Rig::start(&format!("{limits}{PATIENT}{}", shop(&keys, &upstreams))).await;
        assert_eq!(rig.ask(bytes).await.status(), 200);
        both_were_asked(&upstreams).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_504_for_a_post_and_another_upstream_for_a_get() {
    let keys = format!("{NO_EJECTION}\nread_timeout = \"300ms\"");
    let upstreams = first_fails(Reply::Silence).await;
    let rig = Rig::start(&shop(&keys, &upstreams)).await;
    let answer = rig.ask(request("POST", "/in", &[], "body")).await;
    assert_eq!(
        problem(&answer, 504),
        "the server did not answer in time; the request may have been carried out"
    );
    eventually("one was asked", async || total(&upstreams) == 1).await;

    let upstreams = first_fails(Reply::Silence).await;
    let rig = Rig::start(&format!("{PATIENT}{}", shop(&keys, &upstreams))).await;
    assert_eq!(rig.get("/in").await.status(), 200);
    both_were_asked(&upstreams).await;
    let reason = &["reason=\"timeout\""];
    assert!(rig.metric("store_proxy_retries_total", reason).await >= 1.0);
}

/// Part of it has reached the client, who must see that the rest is missing.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_in_the_middle_is_cut_and_not_repeated() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello".to_vec();
    let chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec();
    for bytes in [half, chunk] {
        let upstreams = first_fails(Reply::BytesThenClose(bytes)).await;
        let rig = Rig::start(&shop(NO_EJECTION, &upstreams)).await;
        let mut client = rig.client().await;
        client.send(get("/in")).await;
        let answer = client.try_answer(crate::support::Kind::Response).await;
        match answer {
            // A proxy may hold an answer back until it is whole; then it may also ask again.
            Ok(answer) => assert!(matches!(answer.status(), 200 | 502), "{answer:?}"),
            Err(crate::support::client::NoAnswer::Broken(_)) => {
                assert_eq!(total(&upstreams), 1);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_answered_by_an_upstream_is_an_answer() {
    let upstreams = first_fails(Reply::Answer(
        503,
        vec![("retry-after", "7".into())],
        "no".into(),
    ))
    .await;
    let rig = Rig::start(&shop(NO_EJECTION, &upstreams)).await;
    let answer = rig.get("/in").await;
    assert_eq!((answer.status(), answer.text().as_str()), (503, "no"));
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(total(&upstreams), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_are_bounded() {
    let failing = [
        Upstream::closing().await,
        Upstream::closing().await,
        Upstream::closing().await,
        Upstream::closing().await,
    ];
    let rig = Rig::start(&shop(NO_EJECTION, &failing)).await;
    assert_eq!(problem(&rig.get("/in").await, 502), BROKE_OFF);
    assert_eq!(total(&failing), 3);
    rig.reload(&format!(
        "[retry]\nmax_tries = 1\n{}",
        shop(NO_EJECTION, &failing)
    ))
    .await;
    assert_eq!(problem(&rig.get("/in").await, 502), BROKE_OFF);
    assert_eq!(total(&failing), 4);
}

/// When everything fails, retries must not multiply the load.
#[tokio::test(flavor = "multi_thread")]
async fn retries_are_a_bounded_share_of_the_traffic() {
    const REQUESTS: usize = 500;
    let failing = [Upstream::closing().await, Upstream::closing().await];
    let retry = "[retry]\nbudget = 0.1\nmin_per_second = 0\nmax_tries = 3\n";
    let rig = Rig::start(&format!("{retry}{}", shop(NO_EJECTION, &failing))).await;
    let mut client = rig.client().await;
    for _ in 0..REQUESTS {
        let answer = client.ask(get("/in")).await;
        assert_eq!(problem(&answer, 502), BROKE_OFF);
        if answer.closes() {
            client = rig.client().await;
        }
    }
    let retries = total(&failing) - REQUESTS;
    assert!(
        (1..=REQUESTS / 10).contains(&retries),
        "{retries} retries of {REQUESTS} requests"
    );
    assert!(
        rig.metric("store_proxy_retry_budget_exhausted_total", &[])
            .await
            > 0.0
    );
}

/// What is larger than the proxy keeps can't be repeated, and is not dropped either.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_passes() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let body = "x".repeat(1024 * 1024);
    let key = [("idempotency-key", "key-1")];
    for headers in [&key[..], &[]] {
        let answer = rig.ask(request("POST", "/in", headers, &body)).await;
        assert_eq!(answer.status(), 200);
    }
    assert!(upstream.requests().iter().all(|r| r.text() == body));
}
