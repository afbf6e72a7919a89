//! What one client may have, and that its neighbours have theirs.

use std::io;
use std::time::Duration;

use futures::stream;
use reqwest::{Body, Client, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{Answer, Shop, eventually, options, order_body, send};

/// A connection of one's own.
async fn connect(shop: &Shop) -> TcpStream {
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
    eventually("all heads have come", async || {
        let series = "store_requests_in_flight{component=\"orders\"}";
        shop.metric(series).await == 1400.0
    })
    .await;
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
        answer.problem(429);
        get_for(&shop, "203.0.113.7", "/orders/1")
            .await
            .problem(503);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_beyond_a_client_s_share_is_closed() {
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
    let mut third = connect(&shop).await;
    assert!(
        !matches!(third.read(&mut byte).await, Ok(1..)),
        "it is served"
    );
    assert_eq!(refusals(&shop, "client_connections").await, 1.0);
    drop(held);
    eventually("its share is given back", async || {
        shop.client
            .get(shop.host.url("/health-check"))
            .send()
            .await
            .is_ok()
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
        send(request.body(body)).await.problem(408);
    }
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let order = shop.post("/orders", &order_body(user, product, 1)).await;
    order.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_takes_holds_no_permit() {
    let shop = Shop::with(options().arg("--max-in-flight").arg("1")).await;
    let mut client = connect(&shop).await;
    // The preface, settings with a window of 0, and a request.
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    sent.extend(crate::shutdown::get_frame("/orders/1"));
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
    eventually("the host has noticed that their client left", async || {
        shop.metric("store_requests_in_flight{component=\"orders\"}")
            .await
            == 0.0
    })
    .await;
    shop.get("/orders/1").await.problem(429);
    blocker.release().await;
    eventually("it has its share again", async || {
        shop.get("/orders/1").await.status == 200
    })
    .await;
}
