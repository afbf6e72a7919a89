//! SIGTERM.

use testbed::http2::kind::{GOAWAY, HEADERS};
use testbed::http2::{END_HEADERS, END_STREAM, ReceivedFrame, block, frame, request_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Shop, eventually, options, order_body, send, try_send};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_answered_before_the_host_ends() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let blocker = shop.hold_stock(product).await;
    let request = shop
        .request(reqwest::Method::POST, "/orders")
        .json(&order_body(user, product, 1));
    let in_flight = tokio::spawn(send(request));
    shop.wait_in_flight("orders", 1).await;

    shop.host.sigterm().unwrap();
    eventually("no new connection is taken", async || {
        let fresh = reqwest::Client::new();
        try_send(fresh.get(shop.host.url("/health-check")))
            .await
            .is_err()
    })
    .await;
    blocker.release().await;
    in_flight.await.unwrap().expect(201);
    let status = shop.host.wait_exit(PATIENCE).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(!shop.host.log().contains("cut off"), "{}", shop.host.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_at_its_limit() {
    let shop = Shop::with(options().arg("--drain-timeout").arg("300ms")).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let _blocker = shop.hold_stock(product).await;
    let request = shop
        .request(reqwest::Method::POST, "/orders")
        .json(&order_body(user, product, 1));
    let in_flight = tokio::spawn(try_send(request));
    shop.wait_in_flight("orders", 1).await;
    shop.host.sigterm().unwrap();
    let status = shop.host.wait_exit(PATIENCE).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(in_flight.await.unwrap().is_err());
    assert!(shop.host.log().contains("cut off"), "{}", shop.host.log());
}

/// A HEADERS frame of HTTP/2 that opens the first stream with GET for `path`.
pub(crate) fn get_frame(path: &str) -> Vec<u8> {
    let block = block(&request_for("GET", path, &[]));
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)
}

/// The types of the complete frames in `bytes`.
pub(crate) fn frame_types(bytes: &[u8]) -> Vec<u8> {
    ReceivedFrame::all(bytes).map(|frame| frame.kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_clients_are_told_and_closed() {
    let shop = Shop::open().await;
    let address = shop.host.url("");
    let address = address.trim_start_matches("http://");
    // One that never acknowledges anything, one of HTTP/1.1, and one that says nothing at all.
    let mut http_2 = TcpStream::connect(address).await.unwrap();
    http_2
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    http_2.write_all(&get_frame("/health-check")).await.unwrap();
    let mut received = Vec::new();
    while !frame_types(&received).contains(&HEADERS) {
        assert_ne!(http_2.read_buf(&mut received).await.unwrap(), 0);
    }
    shop.get("/health-check").await.expect(200);
    let mut silent = TcpStream::connect(address).await.unwrap();

    shop.host.sigterm().unwrap();
    http_2.read_to_end(&mut received).await.unwrap();
    let types = frame_types(&received);
    assert!(types.contains(&GOAWAY), "{types:?}");
    let said = silent.read_to_end(&mut received).await;
    assert!(!matches!(said, Ok(1..)), "{said:?}");
    let status = shop.host.wait_exit(PATIENCE).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(!shop.host.log().contains("cut off"), "{}", shop.host.log());
}
