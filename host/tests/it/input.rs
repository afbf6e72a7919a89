//! Bodies and paths at the edges of what is accepted.

use mysql_async::prelude::Queryable;
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Shop, order_body, send};

async fn post(shop: &Shop, path: &str, body: &str) -> Answer {
    let request = shop
        .request(Method::POST, path)
        .header("content-type", "application/json");
    send(request.body(body.to_owned())).await
}

/// How many users, products and orders there are.
async fn rows(shop: &Shop) -> (i64, i64, i64) {
    let mut mysql = shop.store.mysql().await.unwrap();
    let counts = "SELECT (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM products), (SELECT COUNT(*) FROM orders)";
    mysql.query_first(counts).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_in_place_of_an_object_is_400() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let before = rows(&shop).await;
    for (path, body) in [
        ("/users", r#"["Ann","a@x.y"]"#.to_owned()),
        ("/products", r#"["Lamp","LMP-1",49.99]"#.to_owned()),
        ("/stocks", format!("[{product},7]")),
        ("/orders", format!("[{user},[[{product},1]]]")),
        (
            "/orders",
            format!(r#"{{"user_id":{user},"items":[[{product},1]]}}"#),
        ),
        (
            "/stocks/graphql-query",
            r#"["{ stockLevel(productId: \"1\") }"]"#.to_owned(),
        ),
        (
            "/stocks/graphql-query",
            r#"{"query":"{__typename}","variables":[["id","1"]]}"#.to_owned(),
        ),
    ] {
        let detail = post(&shop, path, &body).await.problem(400);
        assert!(
            detail.contains("object") || detail.contains("map"),
            "{detail}"
        );
    }
    assert_eq!(rows(&shop).await, before);
    assert_eq!(shop.stock(product).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_what_was_written_and_not_what_a_float_makes_of_it() {
    let shop = Shop::open().await;
    let product = |price: &str| format!(r#"{{"name":"Lamp","sku":"LMP-1","price":{price}}}"#);
    for price in [
        "19.99000000000000000001",
        "0.00000000000000000001",
        "-0.0",
        "1e400",
        "1e-400",
    ] {
        let detail = post(&shop, "/products", &product(price)).await.problem(422);
        assert_eq!(
            detail, "price must be more than 0, at most 99999999.99, with at most two decimals",
            "{price}"
        );
    }
    for (price, kind) in [
        ("\"19.99\"", "a string"),
        ("null", "null"),
        ("true", "a boolean"),
        ("[19.99]", "an array"),
    ] {
        let detail = post(&shop, "/products", &product(price)).await.problem(400);
        let reason = format!("invalid type: {kind}, expected a number");
        assert!(detail.contains(&reason), "no `{reason}` in {detail}");
    }
    for price in ["19.99", "19.990000000000000000000000", "1999e-2"] {
        let made = post(&shop, "/products", &product(price)).await.expect(201);
        let read = shop.get(&format!("/products/{}", made["product_id"])).await;
        assert_eq!(read.expect(200)["price"], json!(19.99));
    }
    for quantity in [
        "2.00000000000000000001",
        "9007199254740992.5",
        "1e400",
        "9223372036854775808",
    ] {
        let reason = format!("invalid value: {quantity}, expected a whole number");
        let line = format!(r#"{{"product_id":1,"quantity":{quantity}}}"#);
        let order = format!(r#"{{"user_id":1,"items":[{line}]}}"#);
        for (path, body) in [("/stocks", line), ("/orders", order)] {
            let detail = post(&shop, path, &body).await.problem(400);
            assert!(detail.contains(&reason), "no `{reason}` in {detail}");
        }
    }
    post(&shop, "/stocks", r#"{"product_id":1,"quantity":2.0e0}"#)
        .await
        .expect(201);
    assert_eq!(shop.stock(1).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_show_nothing_and_addresses_that_are_none_are_422() {
    let shop = Shop::open().await;
    let (empty, control) = (
        "must not be empty: it needs a visible character",
        "must not have control characters",
    );
    for (nothing, reason) in [
        ("", empty),
        (" ", empty),
        ("\0", empty),
        ("\u{1}\u{7f}", empty),
        ("\u{200b}", empty),
        ("\u{202e}\u{feff} \u{ad}", empty),
        ("\u{2800}", empty),
        ("Ann\0", control),
        ("\u{7}Ann", control),
        ("Ann\nLee", control),
    ] {
        for (path, field, body) in [
            ("/users", "name", json!({"name": nothing, "email": "a@x.y"})),
            (
                "/products",
                "name",
                json!({"name": nothing, "sku": "A", "price": 1}),
            ),
            (
                "/products",
                "sku",
                json!({"name": "A", "sku": nothing, "price": 1}),
            ),
        ] {
            let detail = shop.post(path, &body).await.problem(422);
            assert_eq!(detail, format!("{field} {reason}"), "{body}");
        }
    }
    for email in [
        "<x>@b",
        "a@b..c",
        "a..b@c",
        "\"a\"@b",
        "a\u{200b}@b",
        "a@-b",
        "Ann <a@b>",
    ] {
        let user = json!({"name": "Ann", "email": email});
        let detail = shop.post("/users", &user).await.problem(422);
        assert_eq!(
            detail, "email must be an address such as ada@example.com",
            "{email:?}"
        );
    }
    assert_eq!(rows(&shop).await, (0, 0, 0));
    for (number, name) in ["Ann\u{200d}", "🍣", "e\u{301}"].into_iter().enumerate() {
        let user = json!({"name": name, "email": format!("o'neill+{number}@exämple.com")});
        let made = shop.post("/users", &user).await.expect(201);
        let read = shop
            .get(&format!("/users/{}", made["user_id"]))
            .await
            .expect(200);
        assert_eq!(read["name"], name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_another_coding_is_415() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let before = rows(&shop).await;
    let bodies = [
        ("/users", json!({"name": "Ann", "email": "a@x.y"})),
        ("/products", json!({"name": "Lamp", "sku": "A", "price": 1})),
        ("/stocks", json!({"product_id": product, "quantity": 7})),
        ("/orders", order_body(user, product, 1)),
        ("/stocks/graphql-query", json!({"query": "{__typename}"})),
    ];
    for (path, body) in &bodies {
        for coding in ["gzip", "identity, br", "x"] {
            let request = shop.request(Method::POST, path).json(body);
            let answer = send(request.header("content-encoding", coding)).await;
            let accepted = answer.headers.get("accept-encoding").cloned();
            assert_eq!(accepted.unwrap(), "identity", "{path} {coding}");
            assert_eq!(
                answer.problem(415),
                "Content-Encoding must be identity: bodies are read as they are"
            );
        }
    }
    assert_eq!(rows(&shop).await, before);
    for (path, body) in &bodies {
        let request = shop.request(Method::POST, path).json(body);
        let answer = send(request.header("content-encoding", "Identity")).await;
        assert!(answer.status.is_success(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn needless_encoding_of_a_path_changes_nothing_and_empty_parts_are_404() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 1).await.expect(201);
    for path in [
        "/orders/%31",
        "/%6F%72ders/1",
        "/users/%31",
        "/products/%31",
        "/stocks/%31",
        "/orders/1/",
    ] {
        shop.get(path).await.expect(200);
    }
    let (nothing, no_id) = (
        "there is nothing at this path",
        "an id is a positive whole number",
    );
    for (path, reason) in [
        ("//orders/1", nothing),
        ("/orders//1", nothing),
        ("/orders/1//", nothing),
        ("//products/1", nothing),
        ("/stocks//1", nothing),
        ("/orders%2F1", nothing),
        ("/orders/%2531", no_id),
        ("/orders/%", no_id),
        ("/orders/1%00", no_id),
    ] {
        assert_eq!(shop.get(path).await.problem(404), reason, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_taken_for_what_it_says_it_is() {
    let shop = Shop::open().await;
    for path in [
        "/health-check",
        "/orders/1",
        "/nope",
        "/stocks/reports/overview-stocks",
    ] {
        let answer = shop.get(path).await;
        let values: Vec<_> = answer
            .headers
            .get_all("x-content-type-options")
            .iter()
            .collect();
        assert_eq!(values, ["nosniff"], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_id_in_a_problem_is_part_of_a_uri() {
    let shop = Shop::open().await;
    let request = shop
        .request(Method::GET, "/orders/1")
        .header("x-request-id", "a|b%\"");
    let answer = send(request).await;
    assert_eq!(answer.headers["x-request-id"], "a|b%\"");
    assert_eq!(answer.expect(404)["instance"], "urn:request:a%7Cb%25%22");
}
