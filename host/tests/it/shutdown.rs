//! SIGTERM.

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
    eventually("the order waits for the row", async || {
        shop.metric("store_requests_in_flight{component=\"orders\"}")
            .await
            == 1.0
    })
    .await;

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
    eventually("the order waits for the row", async || {
        shop.metric("store_requests_in_flight{component=\"orders\"}")
            .await
            == 1.0
    })
    .await;
    shop.host.sigterm().unwrap();
    let status = shop.host.wait_exit(PATIENCE).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(in_flight.await.unwrap().is_err());
    assert!(shop.host.log().contains("cut off"), "{}", shop.host.log());
}
