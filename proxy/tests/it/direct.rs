//! Plain requests, which go to their upstreams past pingora: what of them and their answers is passed on, and what can be
//! used again afterwards. All other tests that send them hold for this way too.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::support::{
    BROKE_OFF, Kind, NO_EJECTION, Reply, Rig, Upstream, eventually, get, group, problem, request,
    server_at, shop,
};

/// An upstream whose every answer is these bytes.
async fn says(answer: &'static str) -> Upstream {
    Upstream::with(move |_| Reply::Bytes(answer.into())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_before_an_answer_is_passed_on() {
    let upstream = says(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nKeep-Alive: x\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    )
    .await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut client = rig.client().await;
    for _ in 0..2 {
        let hints = client.ask(get("/")).await;
        assert_eq!(hints.status(), 103);
        assert_eq!(hints.header("link"), Some("</a>; rel=preload"));
        assert_eq!(hints.header("keep-alive"), None);
        let answer = client.answer().await;
        assert_eq!((answer.status(), &*answer.text()), (200, "hi"));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_chunks_only_what_they_bring_is_passed_on() {
    let upstream = says(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n\
         5;secret=1\r\nhello\r\n1\r\n!\r\n0\r\nX-Late: 1\r\n\r\n",
    )
    .await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut client = rig.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    let said = String::from_utf8(client.rest().await.unwrap()).unwrap();
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
    for gone in ["secret", "X-Late", "content-length"] {
        assert!(
            !said.to_lowercase().contains(&gone.to_lowercase()),
            "{said}"
        );
    }
    let answer = rig.get("/").await;
    assert_eq!(answer.text(), "hello!");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_can_be_read_in_two_ways_is_none() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
    ] {
        let upstream = says(answer).await;
        let rig = Rig::start(&shop(NO_EJECTION, [&upstream])).await;
        let answered = rig.get("/").await;
        assert_eq!(problem(&answered, 502), BROKE_OFF, "{answer:?}");
        let status = rig.status_of(upstream.address).await;
        assert_eq!(status["in_flight"], 0, "{answer:?}");
    }
}

/// What an upstream says unasked could be taken for the next answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_more_than_an_answer_is_not_used_again() {
    let upstream = says(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    )
    .await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut client = rig.client().await;
    for _ in 0..5 {
        assert_eq!(client.ask(get("/")).await.text(), "hi");
    }
    assert_eq!(upstream.connections(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_s_wish_to_close_is_heeded_and_kept_from_the_client() {
    let upstream =
        says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi").await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut client = rig.client().await;
    for _ in 0..3 {
        let answer = client.ask(get("/")).await;
        assert!(!answer.closes());
        assert_eq!(answer.text(), "hi");
    }
    assert_eq!(upstream.connections(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_head_has_no_body_and_no_end_to_wait_for() {
    let upstream = says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut client = rig.client().await;
    for _ in 0..3 {
        client.send(request("HEAD", "/", &[], "")).await;
        let answer = client.try_answer(Kind::HeadResponse).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_head_has_no_body() {
    let upstream = Upstream::start().await;
    upstream.stop().await;
    let rig = Rig::start(&shop(NO_EJECTION, [&upstream])).await;
    let mut client = rig.client().await;
    client.send(request("HEAD", "/", &[], "")).await;
    let said = String::from_utf8(client.rest().await.unwrap()).unwrap();
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    assert!(said.ends_with("\r\n\r\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_nobody_uses_are_closed() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("idle_timeout = \"200ms\"", [&upstream])).await;
    assert_eq!(rig.get("/").await.status(), 200);
    eventually("it is closed", async || upstream.open_connections() == 0).await;
    assert_eq!(rig.get("/").await.status(), 200);
    eventually("the next one too", async || {
        upstream.connections() == 2 && upstream.open_connections() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_in_parts_goes_on_as_one() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut client = rig.client().await;
    let head = "POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
    client.send(format!("{head}four")).await;
    assert_eq!(rig.get("/other").await.status(), 200);
    assert_eq!(upstream.count_of("/in"), 0, "it waits for the rest");
    // And what comes after it is another request.
    client.send(format!("+five{}", get("/after"))).await;
    assert_eq!(client.answer().await.json()["body"], "four+five");
    assert_eq!(client.answer().await.json()["target"], "/after");
}

/// The upstream's own `Date` shows that it went this way: pingora writes another.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_request_of_a_connection_is_answered_before_its_end() {
    let upstream = says("HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 2\r\n\r\nhi").await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    for method in ["GET", "POST"] {
        let mut client = rig.client().await;
        let last = request(method, "/", &[("Connection", "close")], "");
        client.send(last).await;
        let said = String::from_utf8(client.rest().await.unwrap()).unwrap();
        assert!(said.contains("\r\nDate: today\r\n"), "{said}");
        assert!(said.ends_with("Connection: close\r\n\r\nhi"), "{said}");
    }
    let passed = upstream.requests();
    let told = passed
        .iter()
        .filter_map(|passed| passed.header("connection"));
    assert_eq!(told.count(), 0, "it is no business of the upstream's");
}

/// An upstream that works for nobody is told so, and its permit is free for others.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_not_waited_for() {
    let upstream = Upstream::with(|request| match request.target() {
        "/never" => Reply::Silence,
        "/half" => Reply::Bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into()),
        _ => Reply::Later(Duration::from_millis(1), Box::new(Reply::Echo)),
    })
    .await;
    let rig = Rig::start(&shop(NO_EJECTION, [&upstream])).await;
    for target in ["/never", "/half"] {
        let mut client = rig.client().await;
        client.send(get(target)).await;
        eventually("it arrives", async || upstream.count_of(target) == 1).await;
        drop(client);
        eventually("nothing is in flight", async || {
            rig.status_of(upstream.address).await["in_flight"] == 0
        })
        .await;
    }
    eventually("its connections are closed", async || {
        upstream.open_connections() == 0
    })
    .await;
    let errors = rig
        .metric("http_requests_total", &["status=\"error\""])
        .await;
    assert_eq!(errors, 1.0, "of the other the client has a head");
}

/// The time for the request is over at some point, however often something comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let trickling = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut part: &[u8] = b"HTTP/1.1 200 OK\r\n";
                while stream.write_all(part).await.is_ok() {
                    part = b"A: b\r\n";
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        }
    });
    let shop = group("shop", NO_EJECTION, [server_at(address, "")]);
    let rig = Rig::start(&format!("[limits]\nrequest_timeout = \"1s\"\n{shop}")).await;
    problem(&rig.get("/").await, 504);
    trickling.abort();
}
