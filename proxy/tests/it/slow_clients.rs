//! Clients that hold connections open, while others want to be served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::shop::Shop;
use crate::support::{
    Client, Load, Reply, Rig, Upstream, eventually, get, group, problem, request, server_at, shop,
};

/// None for idle connections: a client that is held up between two requests would meet it.
const LIMITS: &str =
    "[limits]\nheader_timeout = \"2s\"\nbody_timeout = \"2s\"\nsend_timeout = \"2s\"\n";

const SLOW_CLIENTS: usize = 500;

/// Sends a byte now and then, of a head or of a body, or asks for more than it reads, until it is cut off.
async fn dawdle(number: usize, address: SocketAddr, connected: Arc<AtomicUsize>) {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return;
    };
    connected.fetch_add(1, Ordering::SeqCst);
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
    let connected = Arc::new(AtomicUsize::new(0));
    for number in 0..SLOW_CLIENTS {
        slow.spawn(dawdle(number, rig.address, connected.clone()));
    }
    // The proxy's own count may fall before we look, if we are held up until they are cut off.
    eventually("they are connected", async || {
        connected.load(Ordering::SeqCst) > 400
    })
    .await;
    with_slow.answers(800).await;
    let connections = async || rig.metric("store_proxy_connections", &[]).await;
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
    rig.permits_are_free().await;
    slow.shutdown().await;
}

/// Clients whose machine is gone say nothing more, not even that they left.
#[tokio::test(flavor = "multi_thread")]
async fn connections_on_which_nothing_comes_end() {
    let upstream = Upstream::start().await;
    let limits = format!("{LIMITS}idle_timeout = \"2s\"\n");
    let rig = Rig::start(&format!("{limits}{}", shop("", [&upstream]))).await;
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
    rig.wait_for_metric("store_proxy_connections", &[], 0.0)
        .await;
    for mut client in silent {
        assert!(client.rest().await.is_some(), "the end is told");
    }
}

/// The same on the other side: upstream connections that are open and dead are not waited for twice.
#[tokio::test(flavor = "multi_thread")]
async fn upstream_connections_that_went_silent_are_given_up() {
    let (silent, live) = (Upstream::start().await, Upstream::start().await);
    // The live one may be held up as well, but not for so many tries.
    let retry = "[retry]\nmax_tries = 9\n";
    let keys =
        "read_timeout = \"1500ms\"\nejection = { failures = 3, base = \"60s\", max = \"60s\" }";
    let rig = Rig::start(&format!("{retry}{}", shop(keys, [&silent, &live]))).await;
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

/// A proxy that has four places at its upstream, and no queue.
async fn four_places() -> (Upstream, Rig) {
    let upstream = Upstream::start().await;
    let server = server_at(upstream.address, "max_connections = 4, max_queue = 0");
    let rig = Rig::start(&group("shop", "", [server])).await;
    (upstream, rig)
}

/// A client that announces bodies and sends none takes no place at the upstream from others.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_takes_no_place() {
    let (upstream, rig) = four_places().await;
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
    rig.wait_for_metric("store_proxy_connections", &[], 20.0)
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

/// Nor does one that sends a byte of a body now and then, whether or not the body's length is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_takes_no_place() {
    let (upstream, rig) = four_places().await;
    let mut dripping = Vec::new();
    for number in 0..20 {
        let framing = ["content-length: 100000", "transfer-encoding: chunked"][number % 2];
        let mut client = rig.client().await;
        client
            .send(format!("POST /in HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n"))
            .await;
        dripping.push((client, framing.ends_with("chunked")));
    }
    let (byte, chunk) = ("x", "1\r\nx\r\n");
    for _ in 0..20 {
        for (client, is_chunked) in &mut dripping {
            client.send(if *is_chunked { chunk } else { byte }).await;
        }
        assert_eq!(rig.get("/").await.status(), 200);
    }
    assert_eq!(upstream.count_of("/in"), 0);
    rig.permits_are_free().await;
    for (mut client, is_chunked) in dripping {
        let (rest, length) = match is_chunked {
            true => ("0\r\n\r\n".to_owned(), 20),
            false => (byte.repeat(100_000 - 20), 100_000),
        };
        let answer = client.ask(rest).await;
        assert_eq!(answer.json()["body"].as_str().map(str::len), Some(length));
    }
}

/// A large body begins to go on before it is whole. If it stops then, it holds a place, but there are few such places.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_that_stop_hold_few_places() {
    let upstream = Upstream::start().await;
    let servers = [server_at(
        upstream.address,
        "max_connections = 16, max_queue = 0",
    )];
    let limits = "[limits]\nrequests_per_client = 16\n";
    let rig = Rig::start(&format!("{limits}{}", group("shop", "", servers))).await;
    let framing = "content-length: 100000";
    let begin = format!(
        "POST /in HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{}",
        "x".repeat(50_000)
    );
    let begun = async |source: &str| {
        let mut client = Client::connect_from(source, rig.address).await;
        client.send(&begin).await;
        client
    };
    let in_flight = async || rig.metric("store_proxy_upstream_in_flight", &[]).await;
    let mut stopped = Vec::new();
    for source in ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"] {
        stopped.push(begun(source).await);
        let number = stopped.len() as f64;
        eventually("it has a place", async || in_flight().await == number).await;
    }
    // An eighth of what the client may have in flight, and a quarter of what the upstream may have.
    let third = begun("127.0.0.2").await.answer().await;
    assert!(problem(&third, 429).contains("of this address"));
    let fifth = begun("127.0.0.4").await.answer().await;
    assert_eq!(fifth.header("retry-after"), Some("1"));
    problem(&fifth, 503);
    let refused = rig.metric("store_proxy_uploads_refused_total", &[]).await;
    assert_eq!(refused, 1.0);
    // Upstreams have room, so nobody needs to be woken.
    assert_eq!(rig.metric("store_proxy_no_upstream_total", &[]).await, 0.0);
    for source in ["127.0.0.2", "127.0.0.4"] {
        let mut client = Client::connect_from(source, rig.address).await;
        for _ in 0..20 {
            assert_eq!(client.ask(get("/")).await.status(), 200);
            let small = request("POST", "/small", &[], "body");
            assert_eq!(client.ask(small).await.status(), 200);
        }
    }
    // The rest of one gives its place to the next.
    let answer = stopped[0].ask("x".repeat(50_000)).await;
    assert_eq!(answer.status(), 200);
    eventually("its place is free", async || in_flight().await == 3.0).await;
    stopped.push(begun("127.0.0.4").await);
    eventually("it is taken", async || in_flight().await == 4.0).await;
}

/// A connection of HTTP/2 whose requests have bodies that drip, until it is aborted.
async fn drip_over_http_2(address: SocketAddr) {
    let client = reqwest::Client::builder().http2_prior_knowledge().build();
    let client = client.unwrap();
    let mut requests = JoinSet::new();
    for _ in 0..30 {
        let body = stream::unfold((), async |()| {
            sleep(Duration::from_millis(100)).await;
            Some((std::io::Result::Ok("x"), ()))
        });
        let request = client.post(format!("http://{address}/orders"));
        let request = request
            .header("content-type", "application/json")
            .body(reqwest::Body::wrap_stream(body));
        requests.spawn(request.send());
    }
    requests.join_all().await;
}

/// With real hosts, of which each would be enough for one client alone to fill.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_drip_keep_nobody_from_two_hosts() {
    let store = Shop::open(2).await;
    let servers = store.addresses.iter().map(|address| {
        let few = "max_connections = 8, max_queue = 8";
        server_at(*address, few)
    });
    let health =
        "health = { interval = \"100ms\", timeout = \"2s\", down_after = 2, up_after = 1 }";
    let rig = Rig::with("", "h2c = true", &group("shop", health, servers)).await;
    let mut dripping = JoinSet::new();
    for _ in 0..3 {
        dripping.spawn(drip_over_http_2(rig.address));
    }
    for _ in 0..40 {
        let address = rig.address;
        dripping.spawn(async move {
            let mut client = Client::connect(address).await;
            let head = "POST /orders HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
            client.send(head).await;
            // For longer than the test takes.
            for _ in 0..1000 {
                client.send("1\r\nx\r\n").await;
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    eventually("they are connected", async || {
        rig.metric("store_proxy_connections", &[]).await >= 43.0
    })
    .await;
    let json = [("content-type", "application/json")];
    let order = "{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1}]}";
    for _ in 0..40 {
        assert_eq!(rig.get("/health-check").await.status(), 200);
        assert_eq!(rig.get("/products/1").await.status(), 200);
        let placed = rig.ask(request("POST", "/orders", &json, order)).await;
        assert_eq!(placed.status(), 201);
    }
    for address in &store.addresses {
        assert_eq!(rig.state(*address).await, "up");
        let label = format!("upstream=\"{address}\"");
        let served = rig
            .metric("store_proxy_upstream_requests_total", &[&label])
            .await;
        assert!(served > 0.0, "{address}");
    }
    assert_eq!(rig.metric("store_proxy_no_upstream_total", &[]).await, 0.0);
    dripping.shutdown().await;
}
