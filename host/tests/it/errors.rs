//! Requests that can't be served: each error of the contract, and nothing written.

use mysql_async::prelude::Queryable;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Shop, send, wait_for_log};

async fn post_raw(shop: &Shop, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = shop.request(Method::POST, path);
    send(
        request
            .header("content-type", "application/json")
            .body(body),
    )
    .await
}

/// What a component says before the parser's own words.
const NOT_READ: &str = "the body does not fit this path: ";

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_what_the_route_reads_are_400() {
    let shop = Shop::open().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [(&[u8], &str); 12] = [
        (b"", "EOF while parsing a value"),
        (b"{", "EOF while parsing an object"),
        (b"null", "invalid type: null, expected an object"),
        (b"[]", "invalid type: sequence, expected an object"),
        (
            b"{\"user_id\":\"1\",\"items\":[]}",
            "invalid type: a string, expected a number",
        ),
        (
            b"{\"user_id\":1.5,\"items\":[]}",
            "invalid value: 1.5, expected a whole number",
        ),
        (b"{\"user_id\":1}", "missing field `items`"),
        (
            b"{\"user_id\":1,\"items\":[],\"coupon\":\"x\"}",
            "unknown field `coupon`",
        ),
        (
            b"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":99999999999999999999}]}",
            "invalid value: 99999999999999999999, expected a whole number",
        ),
        (
            b"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1e400}]}",
            "invalid value: 1e400, expected a whole number",
        ),
        (
            b"{\"user_id\":1,\"items\":\"\xff\xfe\"}",
            "invalid unicode code point",
        ),
        (
            deep.as_bytes(),
            "invalid type: sequence, expected an object",
        ),
    ];
    for (body, reason) in bodies {
        let detail = post_raw(&shop, "/orders", body.to_vec()).await.problem(400);
        assert!(detail.starts_with(NOT_READ), "{detail}");
        assert!(detail.contains(reason), "no `{reason}` in {detail}");
    }
    for path in ["/users", "/products", "/stocks", "/stocks/graphql-query"] {
        let detail = post_raw(&shop, path, "{").await.problem(400);
        assert!(detail.starts_with(NOT_READ), "{path}: {detail}");
        assert!(
            detail.contains("EOF while parsing an object"),
            "{path}: {detail}"
        );
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
    let price = "price must be more than 0, at most 99999999.99, with at most two decimals";
    let quantity = "quantity must be from 0 to 2147483647";
    let cases = [
        (
            "/users",
            json!({"name": "", "email": "a@b"}),
            "name must not be empty: it needs a visible character",
        ),
        (
            "/users",
            json!({"name": long, "email": "a@b"}),
            "name must have at most 255 characters",
        ),
        (
            "/users",
            json!({"name": "A", "email": "nobody"}),
            "email must be an address such as ada@example.com",
        ),
        ("/products", product(json!(0)), price),
        ("/products", product(json!(-1)), price),
        ("/products", product(json!(0.001)), price),
        ("/products", product(json!(100_000_000)), price),
        ("/products", product(json!(1e300)), price),
        (
            "/products",
            json!({"name": "A", "sku": long, "price": 1}),
            "sku must have at most 64 characters",
        ),
        (
            "/stocks",
            json!({"product_id": 1, "quantity": -1}),
            quantity,
        ),
        (
            "/stocks",
            json!({"product_id": 1, "quantity": i64::MAX}),
            quantity,
        ),
    ];
    for (path, body, reason) in cases {
        let detail = shop.post(path, &body).await.problem(422);
        assert_eq!(detail, reason, "{path} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_media_type_is_415_and_another_method_405() {
    let shop = Shop::open().await;
    let request = shop.request(Method::POST, "/orders");
    for request in [
        request.header("content-type", "text/plain"),
        shop.request(Method::POST, "/orders"),
    ] {
        let detail = send(request.body("{}")).await.problem(415);
        assert_eq!(detail, "Content-Type must be application/json");
    }

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
        assert_eq!(answer.problem(405), format!("this path allows {allow}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_ids_and_paths_are_404() {
    let shop = Shop::open().await;
    let (nothing, no_id) = (
        "there is nothing at this path",
        "an id is a positive whole number",
    );
    for (path, reason) in [
        ("/", nothing),
        ("/nope", nothing),
        ("/orders/1/items", nothing),
        ("/orders/0", no_id),
        ("/orders/-1", no_id),
        ("/orders/abc", no_id),
        ("/orders/99999999999999999999", no_id),
        ("/users/x", no_id),
        ("/products/1", "there is no product 1"),
        ("/stocks/1", "there is no stock of product 1"),
        ("/orders/reports/nope", nothing),
    ] {
        assert_eq!(shop.get(path).await.problem(404), reason, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_413_whether_or_not_it_says_so() {
    let shop = Shop::open().await;
    let reason = "the request body is larger than 1048576 bytes";
    let large = vec![b' '; 1024 * 1024 + 1];
    let detail = post_raw(&shop, "/orders", large.clone()).await.problem(413);
    assert_eq!(detail, reason);
    let chunks = large
        .chunks(64 * 1024)
        .map(<[u8]>::to_vec)
        .map(Ok::<_, std::io::Error>);
    let stream = reqwest::Body::wrap_stream(futures::stream::iter(chunks.collect::<Vec<_>>()));
    let detail = post_raw(&shop, "/orders", stream).await.problem(413);
    assert_eq!(detail, reason);
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
    assert_eq!(answer.problem(404), "there is nothing at this path");
    // The host answers the first; the second asks a component, which names the id that the host has given it.
    for path in ["/nope", "/orders/999999999"] {
        let request = shop.request(Method::GET, path);
        let answer = send(request.header("x-request-id", "a b")).await;
        assert_ne!(answer.headers["x-request-id"], "a b", "{path}");
        answer.problem(404);
    }
}

/// Sends `text` as it is, and gives the head and the body of what comes back.
async fn exchange(shop: &Shop, text: &str) -> (String, String) {
    let address = shop.host.url("");
    let mut client = TcpStream::connect(address.trim_start_matches("http://"))
        .await
        .unwrap();
    // A host that has read enough answers and closes; what it leaves unread resets the connection.
    _ = client.write_all(text.as_bytes()).await;
    let mut answer = Vec::new();
    _ = client.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_make_no_sense_are_problems_too_and_are_logged() {
    let shop = Shop::open().await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(70_000));
    let large = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(600_000)
    );
    let cases = [
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n",
            400,
        ),
        (
            "GET * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            400,
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nexpect: x\r\nconnection: close\r\n\r\n",
            417,
        ),
        (
            "CONNECT a:80 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            501,
        ),
        // Hyper's own.
        ("GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n", 400),
        ("GET /\" HTTP/9.1\r\nhost: a\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
            400,
        ),
        (long.as_str(), 414),
        (large.as_str(), 431),
    ];
    for (text, status) in cases {
        let (head, body) = exchange(&shop, text).await;
        let start: String = text.chars().take(60).collect();
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{start}: {head}"
        );
        assert!(
            head.contains("\r\ncontent-type: application/problem+json"),
            "{head}"
        );
        assert!(
            head.contains("\r\nx-content-type-options: nosniff"),
            "{head}"
        );
        let (_, id) = head.split_once("\r\nx-request-id: ").unwrap();
        let id = id.lines().next().unwrap();
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["error"], problem["detail"]);
        assert_eq!(problem["instance"], format!("urn:request:{id}"));
        wait_for_log(&shop.host, id).await;
    }
    for reason in [
        "malformed",
        "unknown_expectation",
        "method_not_served",
        "protocol",
    ] {
        let series = format!("store_refusals_total{{reason=\"{reason}\"}}");
        assert!(shop.metric(&series).await > 0.0, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn space_around_a_value_is_refused_over_http_2() {
    let shop = Shop::open().await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    for value in ["\ta", "a\t", "a "] {
        let request = client.get(shop.host.url("/health-check"));
        assert_eq!(
            send(request.header("x", value)).await.problem(400),
            "a header's value begins or ends with white space"
        );
    }
    let request = client.get(shop.host.url("/health-check"));
    assert_eq!(
        send(request.header("expect", "x")).await.problem(417),
        "only `100-continue` can be expected"
    );
    send(client.get(shop.host.url("/health-check")))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_is_told_as_a_number() {
    let shop = Shop::open().await;
    let body = r#"{"name":"A","email":"a@example.com"}"#;
    let length = body.len();
    let head =
        "POST /users HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nconnection: close";
    let (head, _) = exchange(
        &shop,
        &format!("{head}\r\ncontent-length: 0{length}\r\n\r\n{body}"),
    )
    .await;
    assert!(head.starts_with("http/1.1 201 "), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_segments_lead_nowhere() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 1).await.expect(201);
    let labels = "component=\"orders\",method=\"GET\",route=\"/...\",status=\"404\"";
    for path in ["//health-check", "/orders//1", "//users/1"] {
        _ = exchange(
            &shop,
            &format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        )
        .await;
    }
    let series = format!(
        "http_request_duration_seconds_count{{{}}}",
        labels.replace(",status=\"404\"", "")
    );
    assert_eq!(shop.metric(&series).await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_a_uri_and_every_answer_is_what_it_says() {
    let shop = Shop::open().await;
    let request = shop
        .request(Method::POST, "/orders")
        .body(vec![b' '; 1024 * 1024 + 1]);
    let answer = send(request.header("x-request-id", "a|b")).await;
    assert_eq!(answer.headers["x-request-id"], "a|b");
    assert_eq!(answer.expect(413)["instance"], "urn:request:a%7Cb");
    for path in ["/health-check", "/nope", "/stocks/reports/overview-stocks"] {
        let answer = shop.get(path).await;
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
    }
}
