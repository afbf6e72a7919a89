//! What a component may not do, and what happens to a request that takes too long.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Shop, TOO_MANY_REQUESTS, TOOK_TOO_LONG, UNAVAILABLE, empty_store, eventually, options,
    order_body,
};

/// The app with one of its lines changed, in the store's folder.
pub(crate) fn changed_app(store: &testbed::DataStore, from: &str, to: &str) -> std::path::PathBuf {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap();
    let app = fs::read_to_string(root.join("spin.toml")).unwrap();
    assert!(app.contains(from), "spin.toml has no `{from}`");
    let target = root.join("target/wasm32-wasip2");
    let app = app
        .replace(from, to)
        .replace("target/wasm32-wasip2", &target.display().to_string());
    let path = store.folder().join("spin.toml");
    fs::write(&path, app).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_allowed_is_refused_without_showing_the_password() {
    let store = empty_store().await;
    let app = changed_app(
        &store,
        "allowed_outbound_hosts = [\"mysql://{{ mysql_address }}\", \"{{ redis_scheme }}://{{ redis_address }}\"]",
        "allowed_outbound_hosts = [\"{{ redis_scheme }}://{{ redis_address }}\"]",
    );
    let mut options = options().variable("mysql_password", "hunter2-secret");
    options.app = app;
    // The start's own look at MySQL would find the wrong password.
    let mut mysql = store.mysql().await.unwrap();
    for statement in [
        "DROP USER IF EXISTS 'guest'@'127.0.0.1'",
        "CREATE USER 'guest'@'127.0.0.1' IDENTIFIED BY 'hunter2-secret'",
    ] {
        mysql.query_drop(statement).await.unwrap();
    }
    let schema: Option<String> = mysql.query_first("SELECT DATABASE()").await.unwrap();
    mysql
        .query_drop(format!(
            "GRANT ALL ON {}.* TO 'guest'@'127.0.0.1'",
            schema.unwrap()
        ))
        .await
        .unwrap();
    let shop = Shop::on(store, options.variable("mysql_user", "guest")).await;
    assert_eq!(shop.get("/users/1").await.problem(503), UNAVAILABLE);
    eventually("the refusal is logged", async || {
        let log = shop.host.log();
        log.contains("not among the allowed_outbound_hosts")
    })
    .await;
    let log = shop.host.log();
    assert!(!log.contains("hunter2-secret"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_its_time_limit_is_504_and_the_next_is_served() {
    // What the test needs besides is made by a host that has time.
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let hasty = options().arg("--request-timeout").arg("500ms");
    let shop = shop.restarted(&hasty).await;
    let blocker = shop.hold_stock(product).await;
    let late = shop.post("/orders", &order_body(user, product, 1)).await;
    assert_eq!(late.problem(504), TOOK_TOO_LONG);
    blocker.release().await;
    eventually("the next is served", async || {
        shop.get(&format!("/users/{user}")).await.status == 200
    })
    .await;
    eventually("the connection is given back", async || {
        shop.metric("store_mysql_pool_in_use{component=\"orders\"}")
            .await
            == 0.0
    })
    .await;
    shop.assert_consistent().await;
}

/// What a client receives that asks for the overview, and reads nothing for a while.
async fn overview_after(address: SocketAddr, pause: Duration) -> Vec<u8> {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = socket.connect(address).await.unwrap();
    client
        .write_all(b"GET /stocks/reports/overview-stocks HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    client.readable().await.unwrap();
    tokio::time::sleep(pause).await;
    let mut received = Vec::new();
    // A reset says as clearly as an end that the list is not whole.
    _ = client.read_to_end(&mut received).await;
    received
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_cut_off() {
    let store = empty_store().await;
    let size = testbed::seed::Size {
        users: 1,
        products: 60_000,
        orders: 1,
    };
    let dataset = testbed::seed::Dataset::random(size, 42);
    store.seed(&dataset).await.unwrap();
    let shop = Shop::on(store, options().arg("--send-timeout").arg("500ms")).await;
    let address = shop.host.url("").replace("http://", "").parse().unwrap();
    let whole = overview_after(address, Duration::ZERO).await;
    assert!(whole.ends_with(b"0\r\n\r\n"), "{}", whole.len());

    // On a busy machine it takes longer than the limit.
    let mut pause = Duration::from_millis(500);
    eventually("it is cut off", async || {
        pause *= 2;
        let received = overview_after(address, pause).await;
        !received.ends_with(b"0\r\n\r\n")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_allowed_are_503_with_retry_after() {
    let shop = Shop::with(options().arg("--max-in-flight").arg("1")).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let blocker = shop.hold_stock(product).await;
    let held = shop.order(user, product, 1);
    let turned_away = async {
        eventually("a request is in flight", async || {
            let generation = "component=\"orders\",generation=\"1\"";
            let series = format!("store_generation_requests_in_flight{{{generation}}}");
            shop.metric(&series).await == 1.0
        })
        .await;
        let answer = shop.get("/orders/1").await;
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(answer.problem(503), TOO_MANY_REQUESTS);
        blocker.release().await;
    };
    let (held, ()) = tokio::join!(held, turned_away);
    held.expect(201);
}
