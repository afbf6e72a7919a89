//! The list of all stock: whole over the borders of its pages, and no burden while somebody reads it slowly.

use std::net::SocketAddr;

use futures::future::join_all;
use mysql_async::prelude::Queryable;
use serde_json::json;
use testbed::DataStore;
use testbed::seed::{Dataset, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Shop, empty_store, eventually, options, patient};

/// As many as the overview reads at most at once.
const PAGE: usize = 500;

async fn store_of(products: usize) -> DataStore {
    let store = empty_store().await;
    let size = Size {
        users: 1,
        products,
        orders: 1,
    };
    store.seed(&Dataset::random(size, 42)).await.unwrap();
    store
}

/// Checks that the overview has what MySQL has, in its order.
async fn assert_whole(shop: &Shop, products: usize) {
    let overview = shop
        .get("/stocks/reports/overview-stocks")
        .await
        .expect(200);
    let mut mysql = shop.store.mysql().await.unwrap();
    let rows: Vec<(String, i64)> = mysql
        .query("SELECT p.name, s.quantity FROM stocks s JOIN products p ON p.id = s.product_id ORDER BY p.id")
        .await
        .unwrap();
    assert_eq!(rows.len(), products);
    let lines = overview.as_array().unwrap();
    assert_eq!(lines.len(), products);
    for (line, (name, quantity)) in lines.iter().zip(rows) {
        assert_eq!(line["Article"], name);
        assert_eq!(line["Unités en stock"], quantity);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_is_whole_over_the_borders_of_pages() {
    let shop = Shop::on(store_of(2 * PAGE).await, options()).await;
    assert_whole(&shop, 2 * PAGE).await;
    shop.product(10.0, 5).await;
    assert_whole(&shop, 2 * PAGE + 1).await;
    // A gap wider than a page.
    let mut mysql = shop.store.mysql().await.unwrap();
    let gap = format!(
        "DELETE FROM stocks WHERE product_id BETWEEN 2 AND {}",
        PAGE + 500
    );
    mysql.query_drop(gap).await.unwrap();
    assert_whole(&shop, PAGE - 498).await;
}

const OVERVIEW: &str =
    "GET /stocks/reports/overview-stocks HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";

/// Asks, and reads no more of the answer than its first bytes.
async fn slow_reader(address: SocketAddr, request: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = socket.connect(address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    client.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_take_no_connection_from_others() {
    let pool_of_two = patient().arg("--mysql-pool-size").arg("2");
    let shop = Shop::on(store_of(60_000).await, pool_of_two).await;
    let address = shop.host.url("").replace("http://", "").parse().unwrap();
    let readers = join_all((0..20).map(|_| slow_reader(address, OVERVIEW))).await;

    for _ in 0..20 {
        shop.get("/products/1").await.expect(200);
    }
    let stock = json!({"product_id": 1, "quantity": 3});
    shop.post("/stocks", &stock).await.expect(201);
    eventually("all connections are given back", async || {
        let in_use = shop.metric("store_mysql_pool_in_use{component=\"stocks\"}");
        in_use.await == 0.0
    })
    .await;

    // Whoever reads on gets the whole list all the same.
    let mut reader = readers.into_iter().next().unwrap();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"]\r\n0\r\n\r\n"), "{}", rest.len());
}

/// Until it is read, an answer lies in the memory of its instance.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_read_keeps_its_place_in_its_instance() {
    let one_at_once = options().arg("--instance-concurrency").arg("1");
    let shop = Shop::on(store_of(60_000).await, one_at_once).await;
    let address = shop.host.url("").replace("http://", "").parse().unwrap();
    // One after the other, so that none has to wait for an instance.
    let mut readers = Vec::new();
    for _ in 0..12 {
        readers.push(slow_reader(address, OVERVIEW).await);
    }
    let instances = shop.metric("store_instances{component=\"stocks\"}").await;
    assert!(instances >= 12.0, "{instances}");
    // Nobody else is kept waiting for them.
    shop.get("/products/1").await.expect(200);
}
