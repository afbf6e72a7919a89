//! Health, users, products, stock and GraphQL.

use mysql_async::prelude::Queryable;
use reqwest::Method;
use serde_json::json;

use crate::support::{Shop, patient, send};

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_healthy() {
    let shop = Shop::open().await;
    let answer = shop.get("/health-check").await;
    assert!(answer.headers.contains_key("content-length"));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.expect(200), json!({"status": "ok"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_created_once_for_an_email() {
    let shop = Shop::open().await;
    let body = json!({"name": "Ada", "email": "ada@example.com"});
    let user = shop.post("/users", &body).await.expect(201)["user_id"].clone();
    let read = shop.get(&format!("/users/{user}")).await.expect(200);
    assert_eq!(
        read,
        json!({"id": user, "name": "Ada", "email": "ada@example.com"})
    );
    let taken = shop.post("/users", &body).await.problem(409);
    assert_eq!(taken, "another user has this email");
    let unknown = shop.get("/users/999").await.problem(404);
    assert_eq!(unknown, "there is no user 999");
}

#[tokio::test(flavor = "multi_thread")]
async fn emails_are_compared_byte_by_byte_but_for_the_case_of_ascii_letters() {
    let shop = Shop::open().await;
    let create = async |email: &str| {
        let body = json!({"name": "Ada", "email": email});
        shop.post("/users", &body).await
    };
    for email in [
        "🍣@x.y",
        "🍺@x.y",
        "straße@x.y",
        "strasse@x.y",
        "zoé@x.y",
        "zoe@x.y",
        // The same letter in two characters, and the sign for kelvin beside the letter.
        "zoe\u{301}@x.y",
        "\u{212a}@x.y",
        "k@x.y",
        "ＡＤＡ@x.y",
        "Ada@x.y",
    ] {
        let user = create(email).await.expect(201)["user_id"].clone();
        let read = shop.get(&format!("/users/{user}")).await.expect(200);
        assert_eq!(read["email"], email);
    }
    for taken in ["🍣@X.Y", "STRASSE@x.y", "K@x.y", "aDA@x.Y", "ada@x.y"] {
        let detail = create(taken).await.problem(409);
        assert_eq!(detail, "another user has this email", "{taken}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_created_read_and_deleted_with_its_stock() {
    let shop = Shop::open().await;
    let product = shop.product(49.99, 5).await;
    let path = format!("/products/{product}");
    let read = shop.get(&path).await.expect(200);
    assert_eq!(
        read,
        json!({"id": product, "name": "Laptop", "sku": "LP-1", "price": 49.99})
    );

    assert_eq!(
        shop.delete(&path).await.expect(200),
        json!({"deleted": true})
    );
    assert_eq!(
        shop.delete(&path).await.expect(404),
        json!({"deleted": false})
    );
    assert_eq!(
        shop.get(&path).await.problem(404),
        format!("there is no product {product}")
    );
    assert_eq!(
        shop.get(&format!("/stocks/{product}")).await.problem(404),
        format!("there is no stock of product {product}")
    );
    shop.assert_consistent().await;
}

/// Why a product can't be deleted.
fn ordered(product: i64) -> String {
    format!("there are orders of product {product}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_in_an_order_can_not_be_deleted() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(49.99, 5).await);
    shop.order(user, product, 1).await.expect(201);
    let deleted = shop.delete(&format!("/products/{product}")).await;
    assert_eq!(deleted.problem(409), ordered(product));
    assert_eq!(shop.stock(product).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_set_and_says_whether_it_was_there() {
    let shop = Shop::open().await;
    let product = json!({"name": "Mouse", "sku": "M-1", "price": 5});
    let id = shop.post("/products", &product).await.expect(201)["product_id"].clone();
    assert_eq!(
        shop.get(&format!("/stocks/{id}")).await.problem(404),
        format!("there is no stock of product {id}")
    );

    let set = async |quantity: i64| {
        let body = json!({"product_id": id, "quantity": quantity});
        shop.post("/stocks", &body).await.expect(201)
    };
    assert_eq!(
        set(5).await,
        json!({"result": format!("rows added, product {id}")})
    );
    assert_eq!(set(7).await, json!({"result": "rows updated: 1"}));
    let read = shop.get(&format!("/stocks/{id}")).await.expect(200);
    assert_eq!(read, json!({"product_id": id, "quantity": 7}));
    let body = json!({"product_id": 999, "quantity": 1});
    let unknown = shop.post("/stocks", &body).await.problem(422);
    assert_eq!(unknown, "unknown product 999");
    shop.assert_consistent().await;
}

/// `count` products without stock.
async fn bare_products(shop: &Shop, count: usize) -> Vec<i64> {
    let mut mysql = shop.store.mysql().await.unwrap();
    let values = vec!["('Mouse', 'M-1', 5)"; count].join(",");
    let insert = format!("INSERT INTO products (name, sku, price) VALUES {values}");
    mysql.query_drop(insert).await.unwrap();
    mysql
        .query_drop("INSERT IGNORE INTO product_totals (product_id) SELECT id FROM products")
        .await
        .unwrap();
    let ids = "SELECT id FROM products ORDER BY id DESC LIMIT ?";
    mysql.exec(ids, (count,)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_first_stocks_at_once_are_all_set() {
    const WORKERS: usize = 48;
    const EACH: usize = 8;
    let shop = Shop::with(patient()).await;
    let products = bare_products(&shop, WORKERS * EACH).await;
    // Each worker's products lie between those of the others.
    let workers = (0..WORKERS).map(|worker| {
        let (shop, mine) = (&shop, products.iter().skip(worker).step_by(WORKERS));
        async move {
            for product in mine {
                let body = json!({"product_id": product, "quantity": 5});
                let set = shop.post("/stocks", &body).await.expect(201);
                let words = format!("rows added, product {product}");
                assert_eq!(set, json!({"result": words}));
            }
        }
    });
    futures::future::join_all(workers).await;
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn products_are_deleted_under_load() {
    const WORKERS: usize = 24;
    const ROUNDS: usize = 8;
    let shop = Shop::with(patient()).await;
    let user = shop.user(1).await;
    let shared = bare_products(&shop, 20).await;
    let workers = (0..WORKERS).map(|worker| {
        let (shop, shared) = (&shop, &shared);
        async move {
            for round in 0..ROUNDS {
                // New products come and go between those that are ordered.
                let body = json!({"name": "Mouse", "sku": "M-1", "price": 5});
                let own = shop.post("/products", &body).await.expect(201)["product_id"]
                    .as_i64()
                    .unwrap();
                let body = json!({"product_id": own, "quantity": 5});
                shop.post("/stocks", &body).await.expect(201);
                let shared = shared[(worker + round) % shared.len()];
                let is_ordered = (worker + round) % 2 == 0;
                let items = if is_ordered {
                    vec![own, shared]
                } else {
                    vec![shared]
                };
                let items: Vec<_> = items
                    .into_iter()
                    .map(|id| json!({"product_id": id, "quantity": 1}))
                    .collect();
                let body = json!({"user_id": user, "items": items});
                shop.post("/orders", &body).await.expect(201);
                let deleted = shop.delete(&format!("/products/{own}")).await;
                if is_ordered {
                    assert_eq!(deleted.problem(409), ordered(own));
                } else {
                    deleted.expect(200);
                }
                let deleted = shop.delete(&format!("/products/{shared}")).await;
                assert_eq!(deleted.problem(409), ordered(shared));
            }
        }
    });
    futures::future::join_all(workers).await;
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_lists_every_product_with_stock() {
    let shop = Shop::open().await;
    assert_eq!(
        shop.get("/stocks/reports/overview-stocks")
            .await
            .expect(200),
        json!([])
    );
    // More rows than the host reads at once, so that some come by the stream.
    let dataset = testbed::seed::Dataset::random(
        testbed::seed::Size {
            users: 1,
            products: 700,
            orders: 1,
        },
        42,
    );
    shop.store.seed(&dataset).await.unwrap();
    let overview = shop
        .get("/stocks/reports/overview-stocks")
        .await
        .expect(200);
    let rows = overview.as_array().unwrap();
    assert_eq!(rows.len(), 700);
    for row in rows {
        assert!(
            row["Article"].is_string() && row["Numéro SKU"].is_string(),
            "{row}"
        );
        assert!(
            row["Prix unitaire"].is_number() && row["Unités en stock"].is_i64(),
            "{row}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_answers_products_stock_and_introspection() {
    let shop = Shop::open().await;
    let product = shop.product(49.99, 5).await;
    let ask = async |query: &str, variables: serde_json::Value| {
        let body = json!({"query": query, "variables": variables});
        shop.post("/stocks/graphql-query", &body).await.expect(200)
    };
    let answer = ask(
        "query($id: String!) { product(id: $id) { id name sku price quantity } stockLevel(productId: $id) }",
        json!({"id": product.to_string()}),
    )
    .await;
    assert_eq!(answer["errors"], json!(null));
    let found = &answer["data"]["product"];
    assert_eq!(found["sku"], "LP-1");
    assert_eq!(
        (&found["price"], &found["quantity"]),
        (&json!(49.99), &json!(5))
    );
    assert_eq!(answer["data"]["stockLevel"], 5);

    let missing = ask(
        "{ product(id: \"999\") { name } stockLevel(productId: \"999\") }",
        json!({}),
    )
    .await;
    assert_eq!(
        missing["data"],
        json!({"product": null, "stockLevel": null})
    );
    let types = ask("{ __schema { queryType { name } } }", json!({})).await;
    assert!(types["data"]["__schema"]["queryType"]["name"].is_string());
    let wrong = ask("{ nothing }", json!({})).await;
    assert!(wrong["errors"][0]["message"].is_string(), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_like_get_without_a_body() {
    let shop = Shop::open().await;
    let answer = send(shop.request(Method::HEAD, "/health-check")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_without_tls_is_served() {
    let shop = Shop::open().await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let response = client
        .get(shop.host.url("/health-check"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    assert_eq!(response.status(), 200);
}
