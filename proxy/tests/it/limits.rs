//! Sizes and times that a client must keep to.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::client::NoAnswer;
use crate::support::{
    Kind, NO_EJECTION, Reply, Rig, Upstream, eventually, get, problem, request, shop,
};

async fn rig(limits: &str) -> (Upstream, Rig) {
    let upstream = Upstream::start().await;
    let config = format!("[limits]\n{limits}\n\n{}", shop(NO_EJECTION, [&upstream]));
    let rig = Rig::start(&config).await;
    (upstream, rig)
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_limited_by_count_and_size() {
    let (upstream, rig) = rig("header_count = 10\nheader_bytes = 1000").await;
    let with = |count: usize, value: &str| {
        let headers = vec![("x-a", value); count];
        request("GET", "/", &headers, "")
    };
    // Nine of its own and Host.
    assert_eq!(rig.ask(with(9, "b")).await.status(), 200);
    problem(&rig.ask(with(10, "b")).await, 431);
    assert_eq!(rig.ask(with(1, &"b".repeat(900))).await.status(), 200);
    problem(&rig.ask(with(1, &"b".repeat(1_000))).await, 431);
    assert_eq!(upstream.count(), 2);
    let reason = &["reason=\"headers_too_large\""];
    assert_eq!(rig.metric("store_proxy_refused_total", reason).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_413_whether_or_not_it_says_so() {
    let (upstream, rig) = rig("body_bytes = 1000").await;
    let post = |length| request("POST", "/in", &[], &"x".repeat(length));
    assert_eq!(rig.ask(post(1_000)).await.status(), 200);
    problem(&rig.ask(post(1_001)).await, 413);
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let chunked = |count: usize| {
        let head = "POST /in HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        format!("{head}{}0\r\n\r\n", chunk.repeat(count))
    };
    assert_eq!(rig.ask(chunked(2)).await.status(), 200);
    problem(&rig.ask(chunked(3)).await, 413);
    let key =
        "POST /in HTTP/1.1\r\nhost: a\r\nidempotency-key: k\r\ntransfer-encoding: chunked\r\n\r\n";
    problem(
        &rig.ask(format!("{key}{}0\r\n\r\n", chunk.repeat(3))).await,
        413,
    );
    assert_eq!(upstream.count(), 2);
    assert!(upstream.requests().iter().all(|r| r.body.len() == 1_000));
    let reason = &["reason=\"body_too_large\""];
    assert_eq!(rig.metric("store_proxy_refused_total", reason).await, 3.0);
}

/// It is refused before it is sent where the client asks first.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_before_sending_a_body_is_told() {
    let (_upstream, rig) = rig("body_bytes = 1000").await;
    let head = |length: usize| {
        format!(
            "POST /in HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    problem(&rig.ask(head(1_001)).await, 413);
    let mut client = rig.client().await;
    client.send(head(5)).await;
    let mut first = [0; 25];
    tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut first)
        .await
        .unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    let answer = client.ask("hello").await;
    assert_eq!(answer.json()["body"], "hello");
}

/// HTTP/1.0 knows no word to go on, so nothing may come before the answer (RFC 9110, section 10.1.1).
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0_is_not_told_to_go_on() {
    let (upstream, rig) = rig("").await;
    let mut client = rig.client().await;
    let head = "POST /in HTTP/1.0\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    client.send(format!("{head}hello")).await;
    let said = client.rest().await.unwrap();
    let said = String::from_utf8_lossy(&said);
    let status = said.split(' ').nth(1);
    assert_eq!(status, Some("200"), "{said}");
    assert_eq!(upstream.requests()[0].header("expect"), None);
}

/// One byte now and then keeps a connection busy, not a request alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_trickles_in_is_cut_off() {
    let (upstream, rig) = rig("header_timeout = \"400ms\"").await;
    let mut client = rig.client().await;
    let (mut reader, mut writer) = client.stream.into_split();
    let trickle = tokio::spawn(async move {
        // Far longer than the limit: more than a hundred times 50 ms.
        for byte in get(&format!("/{}", "x".repeat(100))).bytes() {
            if tokio::io::AsyncWriteExt::write_all(&mut writer, &[byte])
                .await
                .is_err()
            {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    let mut said = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut said);
    let ended = tokio::time::timeout(crate::support::PATIENCE, read).await;
    assert!(ended.is_ok(), "the connection stayed open");
    let said = String::from_utf8_lossy(&said);
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 408"),
        "{said}"
    );
    trickle.abort();
    assert_eq!(upstream.count(), 0);
    // Under this limit, a good request might be late as well.
    rig.reload(&shop(NO_EJECTION, [&upstream])).await;
    client = rig.client().await;
    assert_eq!(client.ask(get("/")).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_in_is_cut_off() {
    let (upstream, rig) = rig("body_timeout = \"400ms\"").await;
    for framing in ["content-length: 1000", "transfer-encoding: chunked"] {
        for key in ["", "idempotency-key: k\r\n"] {
            let client = rig.client().await;
            let (mut reader, mut writer) = client.stream.into_split();
            let head = format!("POST /in HTTP/1.1\r\nhost: a\r\n{key}{framing}\r\n\r\n");
            let trickle = tokio::spawn(async move {
                let mut next = head;
                // Far longer than the limit: a hundred times 50 ms.
                for _ in 0..100 {
                    let sent = tokio::io::AsyncWriteExt::write_all(&mut writer, next.as_bytes());
                    if sent.await.is_err() {
                        return false;
                    }
                    next = "1\r\nx\r\n".into();
                    sleep(Duration::from_millis(50)).await;
                }
                true
            });
            let mut said = Vec::new();
            let read = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut said);
            let ended = tokio::time::timeout(crate::support::PATIENCE, read).await;
            assert!(ended.is_ok(), "the connection stayed open");
            trickle.abort();
            // It ends by itself when it can't go on.
            let is_over = matches!(trickle.await, Ok(true));
            assert!(!is_over, "cut off before the body was over");
            let said = String::from_utf8_lossy(&said);
            assert!(
                said.is_empty() || said.starts_with("HTTP/1.1 408"),
                "{said}"
            );
        }
    }
    assert_eq!(upstream.count(), 0, "no part was taken for the whole");
    assert_eq!(rig.get("/").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed() {
    let (_upstream, rig) = rig("idle_timeout = \"1s\"").await;
    let mut client = rig.client().await;
    assert_eq!(client.ask(get("/")).await.status(), 200);
    assert_eq!(client.rest().await, Some(Vec::new()));
}

/// The answer is larger than what the kernel takes for a client that doesn't read.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_off() {
    let (upstream, rig) = rig("send_timeout = \"500ms\"").await;
    let large = "x".repeat(30 * 1024 * 1024);
    upstream.behave(move |_| Reply::Answer(200, vec![], large.clone()));
    let mut client = rig.client().await;
    client.send(get("/in")).await;
    eventually("it is given up", async || {
        upstream.count() == 1 && rig.metric("store_proxy_connections", &[]).await == 0.0
    })
    .await;
    let answer = client.try_answer(Kind::Response).await;
    assert!(matches!(answer, Err(NoAnswer::Broken(_))), "it was cut");
    rig.permits_are_free().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_a_time_limit_in_all() {
    let upstream = Upstream::start().await;
    upstream.hold();
    let limits = "[limits]\nrequest_timeout = \"500ms\"\n";
    let rig = Rig::start(&format!("{limits}{}", shop(NO_EJECTION, [&upstream]))).await;
    problem(&rig.get("/in").await, 504);
    problem(&rig.ask(request("POST", "/in", &[], "body")).await, 504);
    rig.permits_are_free().await;
}
