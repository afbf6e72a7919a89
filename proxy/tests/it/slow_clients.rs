//! Clients that hold connections open, while others want to be served.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{Load, Reply, Rig, Upstream, eventually, get, shop};

const LIMITS: &str = "[limits]\nheader_timeout = \"2s\"\nbody_timeout = \"2s\"\nsend_timeout = \"2s\"\nidle_timeout = \"2s\"\n";

const SLOW_CLIENTS: usize = 500;

/// Sends a byte now and then, of a head or of a body, or asks for more than it reads, until it is cut off.
async fn dawdle(number: usize, address: SocketAddr) {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return;
    };
    let greedy = number % 20 == 3;
    let begin: &[u8] = match number % 3 {
        _ if greedy => b"GET /large HTTP/1.1\r\nhost: shop.example\r\n\r\n",
        0 => b"GET /slow HTTP/1.1\r\nhost: shop.example\r\nx-a: ",
        1 => b"POST /slow HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 100000\r\n\r\n",
        _ => b"POST /slow HTTP/1.1\r\nhost: shop.example\r\nidempotency-key: k\r\ncontent-length: 100000\r\n\r\n",
    };
    if stream.write_all(begin).await.is_err() {
        return;
    }
    if greedy {
        // Reads nothing; how it ends is seen from the other side.
        return std::future::pending().await;
    }
    while stream.write_all(b"x").await.is_ok() {
        sleep(Duration::from_millis(400)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_slow_clients_hold_nobody_up_and_are_cut_off() {
    let length = 8 * 1024 * 1024;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    let large = Bytes::from([head.into_bytes(), vec![b'x'; length]].concat());
    let upstream = Upstream::with(move |request| match request.target() {
        "/large" => Reply::Bytes(large.clone()),
        _ => Reply::Echo,
    })
    .await;
    let rig = Rig::start(&format!("{LIMITS}{}", shop("", [&upstream]))).await;
    let normal = || {
        Load::paced(rig.address, 8, Duration::from_millis(5), |n| {
            (format!("/{n}"), get(&format!("/{n}")))
        })
    };
    let alone = normal();
    alone.answers(800).await;
    let alone = alone.stop().await;
    alone.assert_only(&[200]);

    let with_slow = normal();
    let mut slow = JoinSet::new();
    for number in 0..SLOW_CLIENTS {
        slow.spawn(dawdle(number, rig.address));
    }
    let connections = async || rig.metric("store_proxy_connections", &[]).await;
    eventually("they are connected", async || connections().await > 400.0).await;
    with_slow.answers(800).await;
    eventually("they are cut off", async || connections().await <= 8.0).await;
    let with_slow = with_slow.stop().await;
    with_slow.assert_only(&[200]);
    assert_eq!(upstream.count_of("/slow"), 0, "none was ever whole");
    for (what, tally) in [("alone", &alone), ("with 500 slow clients", &with_slow)] {
        let (half, most) = (tally.quantile(0.5), tally.quantile(0.99));
        eprintln!(
            "{what}: p50 {half:?}, p99 {most:?} of {} requests",
            tally.0.len()
        );
    }
    assert_eq!(rig.metric("store_proxy_upstream_in_flight", &[]).await, 0.0);
    slow.shutdown().await;
}

/// Clients whose machine is gone say nothing more, not even that they left.
#[tokio::test(flavor = "multi_thread")]
async fn connections_on_which_nothing_comes_end() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&format!("{LIMITS}{}", shop("", [&upstream]))).await;
    let mut silent = Vec::new();
    for number in 0..200 {
        let mut client = rig.client().await;
        match number % 3 {
            0 => {}
            1 => client.send("GET /half HTTP/1.1\r\nhost: a\r\n").await,
            _ => assert_eq!(client.ask(get("/")).await.status(), 200),
        }
        silent.push(client);
    }
    eventually("all are closed", async || {
        rig.metric("store_proxy_connections", &[]).await == 0.0
    })
    .await;
    for mut client in silent {
        assert!(client.rest().await.is_some(), "the end is told");
    }
}

/// The same on the other side: upstream connections that are open and dead are not waited for twice.
#[tokio::test(flavor = "multi_thread")]
async fn upstream_connections_that_went_silent_are_given_up() {
    let (silent, live) = (Upstream::start().await, Upstream::start().await);
    let keys =
        "read_timeout = \"300ms\"\nejection = { failures = 3, base = \"60s\", max = \"60s\" }";
    let rig = Rig::start(&shop(keys, [&silent, &live])).await;
    let mut client = rig.client().await;
    for _ in 0..20 {
        assert_eq!(client.ask(get("/")).await.status(), 200);
    }
    silent.behave(|_| Reply::Silence);
    for _ in 0..50 {
        assert_eq!(client.ask(get("/")).await.status(), 200);
    }
    assert_eq!(rig.state(silent.address).await, "ejected");
    eventually("its connections are closed", async || {
        silent.open_connections() == 0
    })
    .await;
}

/// A client that announces bodies and sends none takes no place at the upstream from others.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_takes_no_place() {
    let upstream = Upstream::start().await;
    let servers = [crate::support::server_at(
        upstream.address,
        "max_connections = 4, max_queue = 0",
    )];
    let rig = Rig::start(&crate::support::group("shop", "", servers)).await;
    let mut waiting = Vec::new();
    for number in 0..20 {
        let framing = [
            "content-length: 5",
            "transfer-encoding: chunked",
            "expect: 100-continue\r\ncontent-length: 5",
            "expect: 100-continue\r\ntransfer-encoding: chunked",
        ][number % 4];
        let mut client = rig.client().await;
        client
            .send(format!("POST /in HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n"))
            .await;
        waiting.push((client, framing));
    }
    eventually("they are connected", async || {
        rig.metric("store_proxy_connections", &[]).await == 20.0
    })
    .await;
    for _ in 0..20 {
        assert_eq!(rig.get("/").await.status(), 200);
    }
    assert_eq!(upstream.count_of("/in"), 0);
    for (mut client, framing) in waiting {
        let body = match framing.ends_with("chunked") {
            false => "hello",
            true => "5\r\nhello\r\n0\r\n\r\n",
        };
        assert_eq!(client.ask(body).await.json()["body"], "hello");
    }
    let requests = upstream.requests();
    assert!(requests.iter().all(|r| r.header("expect").is_none()));
}
