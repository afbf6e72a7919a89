//! A connection on which no request comes is closed, whatever else comes on it.

use std::time::Duration;

use reqwest::Client;
use testbed::http2::kind::{GOAWAY, HEADERS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::clients::connect;
use crate::shutdown::{frame_types, get_frame};
use crate::support::{PATIENCE, Shop, options, order_body, send};

/// The preface of HTTP/2 and a client's settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The beginning of a HEADERS frame for the second request of a connection, which announces 16,000 bytes.
const LONG_HEADERS: [u8; 9] = [0, 0x3e, 0x80, HEADERS, 5, 0, 0, 0, 3];

async fn shop() -> Shop {
    Shop::with(options().arg("--idle-timeout").arg("1s")).await
}

async fn connect_by_http_2(shop: &Shop) -> TcpStream {
    let mut connection = connect(shop).await;
    connection.write_all(PREFACE).await.unwrap();
    connection
}

/// Makes the first request of HTTP/2, and receives until the head of its answer has come.
async fn ask(connection: &mut TcpStream, received: &mut Vec<u8>) {
    let request = get_frame("/health-check");
    connection.write_all(&request).await.unwrap();
    while !frame_types(received).contains(&HEADERS) {
        assert_ne!(connection.read_buf(received).await.unwrap(), 0);
    }
}

/// Receives until the host closes the connection.
async fn receive_all(connection: &mut (impl AsyncReadExt + Unpin), received: &mut Vec<u8>) {
    let ended = timeout(PATIENCE, connection.read_to_end(received)).await;
    // Closed while bytes are on their way to the host, it may be reset.
    _ = ended.expect("it is closed");
}

/// Sends `piece` again and again until the host closes the connection.
async fn drip(connection: TcpStream, received: &mut Vec<u8>, piece: &'static [u8]) {
    let (mut reader, mut writer) = connection.into_split();
    let dripping = tokio::spawn(async move {
        while writer.write_all(piece).await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    receive_all(&mut reader, received).await;
    dripping.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_lines_hold_no_connection_open() {
    let shop = shop().await;
    let mut received = Vec::new();
    drip(connect(&shop).await, &mut received, b"\r\n").await;
    assert_eq!(received, b"", "nothing was asked");

    let mut used = connect(&shop).await;
    used.write_all(b"GET /health-check HTTP/1.1\r\nhost: shop\r\n\r\n")
        .await
        .unwrap();
    assert_ne!(used.read_buf(&mut received).await.unwrap(), 0);
    assert!(received.starts_with(b"HTTP/1.1 200 "));
    drip(used, &mut received, b"\r\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_of_http_2_holds_no_connection_open() {
    let shop = shop().await;
    for is_used in [false, true] {
        let mut connection = connect_by_http_2(&shop).await;
        let mut received = Vec::new();
        if is_used {
            ask(&mut connection, &mut received).await;
        }
        connection.write_all(&LONG_HEADERS).await.unwrap();
        // `:method: GET`, again and again.
        drip(connection, &mut received, b"\x82").await;
        let types = frame_types(&received);
        assert!(types.contains(&GOAWAY), "{types:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_client_of_http_2_is_told_and_closed() {
    let shop = shop().await;
    for is_used in [false, true] {
        let mut connection = connect_by_http_2(&shop).await;
        let mut received = Vec::new();
        if is_used {
            ask(&mut connection, &mut received).await;
        }
        receive_all(&mut connection, &mut received).await;
        let types = frame_types(&received);
        assert!(types.contains(&GOAWAY), "{types:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_its_answer_is_not_idle() {
    let shop = shop().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let blocker = shop.hold_stock(product).await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let order = client.post(shop.host.url("/orders"));
    let order = order.json(&order_body(user, product, 1));
    let order = tokio::spawn(send(order));
    // Meanwhile two who ask for nothing are closed, one after the other.
    for _ in 0..2 {
        let mut received = Vec::new();
        receive_all(&mut connect(&shop).await, &mut received).await;
        assert_eq!(received, b"");
    }
    blocker.release().await;
    order.await.unwrap().expect(201);
}
