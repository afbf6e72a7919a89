//! What one client may have, and that its neighbours have theirs.

use std::io;
use std::time::Duration;

use futures::stream;
use reqwest::{Body, Client, Method};
use testbed::http2::kind::{GOAWAY, HEADERS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::shutdown::{frame_types, get_frame};
use crate::support::{
    Answer, Shop, TOO_MANY_OF_YOURS, TOO_MANY_REQUESTS, eventually, options, order_body, send,
    try_send, wait_for_log,
};

/// A connection of one's own.
pub(crate) async fn connect(shop: &Shop) -> TcpStream {
    let address = shop.host.url("");
    let address = address.trim_start_matches("http://");
    TcpStream::connect(address).await.unwrap()
}

/// A request for a client behind a proxy.
async fn get_for(shop: &Shop, client: &str, path: &str) -> Answer {
    send(
        shop.request(Method::GET, path)
            .header("x-forwarded-for", client),
    )
    .await
}

/// What comes until the connection is closed.
async fn read_all(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = connection.read_to_end(&mut answer);
    timeout(Duration::from_secs(60), reading)
        .await
        .expect("it is closed")
        .expect("it is not reset");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn refusals(shop: &Shop, reason: &str) -> f64 {
    let series = format!("store_refusals_total{{reason=\"{reason}\"}}");
    shop.metric(&series).await
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_without_bodies_keep_nobody_waiting() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let mut attack = JoinSet::new();
    for _ in 0..13 {
        let client = Client::builder().http2_prior_knowledge().build().unwrap();
        for _ in 0..100 {
            let body = Body::wrap_stream(stream::pending::<io::Result<Vec<u8>>>());
            let request = client.post(shop.host.url("/orders"));
            let request = request
                .header("content-type", "application/json")
                .body(body);
            attack.spawn(async move {
                _ = request.send().await;
            });
        }
    }
    let mut connections = Vec::new();
    for _ in 0..100 {
        let mut connection = connect(&shop).await;
        let head = b"POST /orders HTTP/1.1\r\nhost: shop\r\ncontent-length: 9\r\n\r\n";
        connection.write_all(head).await.unwrap();
        connections.push(connection);
    }
    shop.wait_in_flight("orders", 1400).await;
    for _ in 0..20 {
        shop.get("/health-check").await.expect(200);
        shop.order(user, product, 1).await.expect(201);
        shop.get(&format!("/products/{product}")).await.expect(200);
    }
    assert_eq!(refusals(&shop, "overloaded").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_its_share_of_requests_and_health_checks_are_always_answered() {
    let flags = ["--max-requests-per-client", "2", "--max-in-flight", "2"];
    let shop = Shop::with(
        flags
            .into_iter()
            .fold(options(), |options, flag| options.arg(flag)),
    )
    .await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let blocker = shop.hold_stock(product).await;
    let orders = async { tokio::join!(shop.order(user, product, 1), shop.order(user, product, 1)) };
    let others = async {
        eventually("both are in flight", async || {
            let generation = "component=\"orders\",generation=\"1\"";
            let series = format!("store_generation_requests_in_flight{{{generation}}}");
            shop.metric(&series).await == 2.0
        })
        .await;
        let answer = shop.get("/orders/1").await;
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(answer.problem(429), TOO_MANY_OF_YOURS);
        let other = get_for(&shop, "203.0.113.7", "/orders/1").await;
        assert_eq!(other.problem(503), TOO_MANY_REQUESTS);
        get_for(&shop, "203.0.113.7", "/products/1")
            .await
            .expect(200);
        for client in ["203.0.113.7", "127.0.0.1"] {
            get_for(&shop, client, "/health-check").await.expect(200);
        }
        assert_eq!(refusals(&shop, "client_busy").await, 1.0);
        blocker.release().await;
    };
    let ((first, second), ()) = tokio::join!(orders, others);
    first.expect(201);
    second.expect(201);
    shop.get("/orders/1").await.expect(200);
}

/// A host on which this client has all connections that it may, and these.
async fn with_all_connections() -> (Shop, Vec<TcpStream>) {
    let flags = [
        "--max-connections-per-client",
        "2",
        "--trusted-proxies",
        "none",
    ];
    let shop = Shop::with(
        flags
            .into_iter()
            .fold(options(), |options, flag| options.arg(flag)),
    )
    .await;
    let mut held = Vec::new();
    let mut byte = [0];
    for _ in 0..2 {
        let mut connection = connect(&shop).await;
        let head = b"GET /health-check HTTP/1.1\r\nhost: shop\r\n\r\n";
        connection.write_all(head).await.unwrap();
        connection.read_exact(&mut byte).await.unwrap();
        held.push(connection);
    }
    (shop, held)
}

/// The status of the answer on a connection that is new if the last one was closed.
async fn status_of_get(shop: &Shop) -> Option<u16> {
    let answer = try_send(shop.request(Method::GET, "/health-check")).await;
    Some(answer.ok()?.status.as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_beyond_a_client_s_share_is_told_so_and_closed() {
    let (shop, held) = with_all_connections().await;
    let mut third = connect(&shop).await;
    let head =
        "POST /orders HTTP/1.1\r\nhost: shop\r\nx-request-id: third-1\r\ncontent-length: 2\r\n\r\n";
    let request = format!("{head}{{}}");
    third.write_all(request.as_bytes()).await.unwrap();
    let answer = read_all(&mut third).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    for part in [
        "content-type: application/problem+json\r\n",
        "x-request-id: third-1\r\n",
        "retry-after: 1\r\n",
        "connection: close\r\n",
        "\"urn:request:third-1\"",
    ] {
        assert!(answer.contains(part), "no {part}: {answer}");
    }
    assert_eq!(refusals(&shop, "client_connections").await, 1.0);
    wait_for_log(&shop.host, "third-1").await;

    let mut silent = connect(&shop).await;
    assert_eq!(read_all(&mut silent).await, "", "it asked for nothing");
    assert_eq!(refusals(&shop, "client_connections").await, 2.0);

    drop(held);
    eventually("its share is given back", async || {
        status_of_get(&shop).await == Some(200)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_http_2_beyond_a_client_s_share_is_told_so_and_closed() {
    let (shop, _held) = with_all_connections().await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = send(client.get(shop.host.url("/orders/1"))).await;
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(
        answer.problem(429),
        "too many connections of yours; close some, or try again shortly"
    );
    // One that never acknowledges anything.
    let mut third = connect(&shop).await;
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    sent.extend(get_frame("/orders/1"));
    third.write_all(&sent).await.unwrap();
    let mut received = Vec::new();
    let reading = third.read_to_end(&mut received);
    let read = timeout(Duration::from_secs(60), reading).await;
    read.expect("it is closed").expect("it is not reset");
    let types = frame_types(&received);
    assert!(types.contains(&HEADERS), "{types:?}");
    assert!(types.contains(&GOAWAY), "{types:?}");
    assert_eq!(refusals(&shop, "client_connections").await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_connections_beyond_a_share_are_told_so() {
    let (shop, _held) = with_all_connections().await;
    let mut silent = Vec::new();
    for _ in 0..256 {
        silent.push(connect(&shop).await);
    }
    let mut next = connect(&shop).await;
    // Closed before it is read, it may be reset.
    let head = b"GET /health-check HTTP/1.1\r\nhost: shop\r\n\r\n";
    _ = next.write_all(head).await;
    let mut answer = Vec::new();
    _ = next.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    assert!(refusals(&shop, "client_connections").await >= 1.0);
    drop(silent);
    eventually("they are told again", async || {
        status_of_get(&shop).await == Some(429)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_408() {
    let shop = Shop::with(options().arg("--receive-timeout").arg("300ms")).await;
    for version in ["HTTP/1.1", "HTTP/2"] {
        let client = Client::builder().timeout(Duration::from_secs(60));
        let client = match version {
            "HTTP/2" => client.http2_prior_knowledge(),
            _ => client,
        };
        let body = Body::wrap_stream(stream::pending::<io::Result<Vec<u8>>>());
        let request = client.build().unwrap().post(shop.host.url("/orders"));
        assert_eq!(
            send(request.body(body)).await.problem(408),
            "the request body did not arrive in time",
            "{version}"
        );
    }
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let order = shop.post("/orders", &order_body(user, product, 1)).await;
    order.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_come_is_408_and_silence_is_closed_without_a_word() {
    let options = options().arg("--receive-timeout").arg("300ms");
    let shop = Shop::with(options.arg("--idle-timeout").arg("1s")).await;
    for begun in ["GET /health-check HTTP/1.1\r\nhost: sh", "P"] {
        let mut slow = connect(&shop).await;
        slow.write_all(begun.as_bytes()).await.unwrap();
        let answer = read_all(&mut slow).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
        assert!(answer.contains("x-request-id: "), "{answer}");
    }
    assert_eq!(refusals(&shop, "head_too_slow").await, 2.0);
    let mut silent = connect(&shop).await;
    // One whose second head does not come has its first answer before.
    let mut second = connect(&shop).await;
    let heads = b"GET /health-check HTTP/1.1\r\nhost: shop\r\n\r\nGET /";
    second.write_all(heads).await.unwrap();
    let answers = read_all(&mut second).await;
    assert!(answers.starts_with("HTTP/1.1 200 "), "{answers}");
    assert!(answers.contains("HTTP/1.1 408 "), "{answers}");
    assert_eq!(read_all(&mut silent).await, "");
    assert_eq!(refusals(&shop, "head_too_slow").await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_could_read_differently_is_400_and_ends_the_connection() {
    let shop = Shop::open().await;
    let post = |fields: &str| format!("POST /orders HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
    let closing = [
        post("content-length: 5\r\ntransfer-encoding: chunked") + "0\r\n\r\n",
        post("transfer-encoding: chunked\r\ncontent-length: 5") + "0\r\n\r\n",
        post("content-length: 5\r\ncontent-length: 5"),
        post("transfer-encoding: gzip, chunked"),
        "GET /health-check HTTP/1.1\nhost: a\n\n".into(),
        "GET /health-check HTTP/1.1\r\nhost: a\nx: y\r\n\r\n".into(),
        get("/health-check#a"),
    ];
    let others = [
        get("/health-check?\u{e9}"),
        get("/\u{e9}"),
        get("ftp://a/health-check"),
        get("http://b/health-check"),
    ];
    let before = refusals(&shop, "malformed").await;
    for (wrong, closes) in closing
        .iter()
        .map(|wrong| (wrong, true))
        .chain(others.iter().map(|wrong| (wrong, false)))
    {
        // After one that is in order, and before another.
        let sent = format!(
            "{0}{wrong}{1}",
            get("http://A/health-check"),
            get("/health-check")
        );
        let sent = match closes {
            true => sent,
            false => sent.replace(
                "GET /health-check HTTP/1.1\r\n",
                "GET /health-check HTTP/1.1\r\nconnection: close\r\n",
            ),
        };
        let mut connection = connect(&shop).await;
        connection.write_all(sent.as_bytes()).await.unwrap();
        let answers = read_all(&mut connection).await;
        let statuses: Vec<&str> = answers
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|one| &one[..3])
            .collect();
        let expected: &[&str] = if closes {
            &["200", "400"]
        } else {
            &["200", "400", "200"]
        };
        assert_eq!(statuses, expected, "{wrong:?}: {answers}");
        assert!(answers.contains("application/problem+json"), "{answers}");
    }
    let refused = refusals(&shop, "malformed").await - before;
    assert_eq!(refused, (closing.len() + others.len()) as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_takes_holds_no_permit() {
    let shop = Shop::with(options().arg("--max-in-flight").arg("1")).await;
    let mut client = connect(&shop).await;
    // The preface, settings with a window of 0, and a request.
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    sent.extend(get_frame("/orders/1"));
    client.write_all(&sent).await.unwrap();
    eventually("it is answered", async || {
        shop.metric("store_mysql_statements_total{component=\"orders\"}")
            .await
            > 0.0
    })
    .await;
    eventually("another is let in", async || {
        shop.get("/orders/1").await.status == 404
    })
    .await;
}

/// What it asked for goes on, so its share is not free yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_early_has_its_share_back_no_sooner() {
    let options = options().arg("--max-requests-per-client").arg("2");
    let shop = Shop::with(options).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let blocker = shop.hold_stock(product).await;
    let in_flight = "store_generation_requests_in_flight{component=\"orders\",generation=\"1\"}";
    let both = async { tokio::join!(shop.order(user, product, 1), shop.order(user, product, 1)) };
    tokio::select! {
        _ = both => panic!("the stock is held"),
        () = eventually("both are in flight", async || shop.metric(in_flight).await == 2.0) => {}
    }
    // The host notices that their client left.
    shop.wait_in_flight("orders", 0).await;
    let refused = shop.get("/orders/1").await;
    assert_eq!(refused.problem(429), TOO_MANY_OF_YOURS);
    blocker.release().await;
    eventually("it has its share again", async || {
        shop.get("/orders/1").await.status == 200
    })
    .await;
}
