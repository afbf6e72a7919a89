//! Requests that can't be served: each error of the contract, and nothing written.

use mysql_async::prelude::Queryable;
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Shop, send};

async fn post_raw(shop: &Shop, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = shop.request(Method::POST, path);
    send(
        request
            .header("content-type", "application/json")
            .body(body),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_what_the_route_reads_are_400() {
    let shop = Shop::open().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 12] = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{\"user_id\":\"1\",\"items\":[]}",
        b"{\"user_id\":1.5,\"items\":[]}",
        b"{\"user_id\":1}",
        b"{\"user_id\":1,\"items\":[],\"coupon\":\"x\"}",
        b"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":99999999999999999999}]}",
        b"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1e400}]}",
        b"{\"user_id\":1,\"items\":\"\xff\xfe\"}",
        deep.as_bytes(),
    ];
    for body in bodies {
        post_raw(&shop, "/orders", body.to_vec()).await.problem(400);
    }
    for path in ["/users", "/products", "/stocks", "/stocks/graphql-query"] {
        post_raw(&shop, path, "{").await.problem(400);
    }
    let mut mysql = shop.store.mysql().await.unwrap();
    let rows: Option<i64> = mysql
        .query_first("SELECT COUNT(*) FROM orders")
        .await
        .unwrap();
    assert_eq!(rows, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_can_not_be_accepted_are_422() {
    let shop = Shop::open().await;
    let long = "x".repeat(400);
    let product = |price: serde_json::Value| json!({"name": "A", "sku": "B", "price": price});
    let cases = [
        ("/users", json!({"name": "", "email": "a@b"})),
        ("/users", json!({"name": long, "email": "a@b"})),
        ("/users", json!({"name": "A", "email": "nobody"})),
        ("/products", product(json!(0))),
        ("/products", product(json!(-1))),
        ("/products", product(json!(0.001))),
        ("/products", product(json!(100_000_000))),
        ("/products", product(json!(1e300))),
        ("/products", json!({"name": "A", "sku": long, "price": 1})),
        ("/stocks", json!({"product_id": 1, "quantity": -1})),
        ("/stocks", json!({"product_id": 1, "quantity": i64::MAX})),
    ];
    for (path, body) in cases {
        shop.post(path, &body).await.problem(422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_media_type_is_415_and_another_method_405() {
    let shop = Shop::open().await;
    let request = shop.request(Method::POST, "/orders");
    send(request.header("content-type", "text/plain").body("{}"))
        .await
        .problem(415);
    send(shop.request(Method::POST, "/orders").body("{}"))
        .await
        .problem(415);

    let routes = [
        ("/health-check", "GET, HEAD"),
        ("/orders", "POST"),
        ("/orders/1", "GET, HEAD, DELETE"),
        ("/users", "POST"),
        ("/users/1", "GET, HEAD, DELETE"),
        ("/products", "POST"),
        ("/products/1", "GET, HEAD, DELETE"),
        ("/stocks", "POST"),
        ("/stocks/1", "GET, HEAD"),
        ("/stocks/reports/overview-stocks", "GET, HEAD"),
        ("/stocks/graphql-query", "POST"),
        ("/orders/reports/highest-spenders", "GET, HEAD"),
        ("/orders/reports/best-sellers", "GET, HEAD"),
    ];
    for (path, allow) in routes {
        let answer = send(shop.request(Method::PATCH, path)).await;
        assert_eq!(answer.headers["allow"], allow, "{path}");
        answer.problem(405);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_ids_and_paths_are_404() {
    let shop = Shop::open().await;
    for path in [
        "/",
        "/nope",
        "/orders/1/items",
        "/orders/0",
        "/orders/-1",
        "/orders/abc",
        "/orders/99999999999999999999",
        "/users/x",
        "/products/1",
        "/stocks/1",
        "/orders/reports/nope",
    ] {
        shop.get(path).await.problem(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_413_whether_or_not_it_says_so() {
    let shop = Shop::open().await;
    let large = vec![b' '; 1024 * 1024 + 1];
    post_raw(&shop, "/orders", large.clone()).await.problem(413);
    let chunks = large
        .chunks(64 * 1024)
        .map(<[u8]>::to_vec)
        .map(Ok::<_, std::io::Error>);
    let stream = reqwest::Body::wrap_stream(futures::stream::iter(chunks.collect::<Vec<_>>()));
    post_raw(&shop, "/orders", stream).await.problem(413);
    shop.get("/health-check").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_allowed_body_is_read() {
    let shop = Shop::open().await;
    let mut body = json!({"name": "A", "email": "a@example.com"})
        .to_string()
        .into_bytes();
    body.resize(1024 * 1024, b' ');
    post_raw(&shop, "/users", body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_request_id_comes_back_and_a_bad_one_is_replaced() {
    let shop = Shop::open().await;
    let answer = send(
        shop.request(Method::GET, "/nope")
            .header("x-request-id", "abc-123"),
    )
    .await;
    assert_eq!(answer.headers["x-request-id"], "abc-123");
    answer.problem(404);
    let answer = send(
        shop.request(Method::GET, "/nope")
            .header("x-request-id", "a b"),
    )
    .await;
    assert_ne!(answer.headers["x-request-id"], "a b");
}
