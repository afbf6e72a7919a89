//! GraphQL queries that are right, wrong, and made to hurt.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use crate::support::{Shop, patient};

/// Requests that one instance takes at once, unless a flag says otherwise.
const AT_ONCE: usize = 64;

/// What GraphiQL and Apollo ask to learn a schema.
const FULL_INTROSPECTION: &str =
    include_str!("../../../components/stocks/src/graphql/cost/introspection.graphql");

async fn ask(shop: &Shop, body: &Value) -> Value {
    shop.post("/stocks/graphql-query", body).await.expect(200)
}

/// Asks as many times at once as one instance takes, while others read a product, and gives the first answer.
async fn ask_at_once(shop: &Arc<Shop>, body: Value) -> Value {
    let body = Arc::new(body);
    let asking = (0..AT_ONCE).map(|_| {
        let (shop, body) = (shop.clone(), body.clone());
        tokio::spawn(async move { ask(&shop, &body).await })
    });
    let reading = (0..AT_ONCE).map(|_| {
        let shop = shop.clone();
        tokio::spawn(async move { shop.get("/products/1").await.expect(200) })
    });
    let (answers, neighbours) = tokio::join!(join_all(asking), join_all(reading));
    for neighbour in neighbours {
        neighbour.unwrap();
    }
    answers.into_iter().next().unwrap().unwrap()
}

/// No instance died of it.
async fn assert_unharmed(shop: &Shop) {
    let traps = shop.metric("store_traps_total{component=\"stocks\"}").await;
    assert_eq!(traps, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_is_answered_as_tools_ask_for_it() {
    let shop = Shop::open().await;
    let answer = ask(&shop, &json!({"query": FULL_INTROSPECTION})).await;
    assert_eq!(answer["errors"], json!(null));
    let types = answer["data"]["__schema"]["types"].as_array().unwrap();
    assert!(types.iter().any(|known| known["name"] == "Product"));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_multiply_are_refused_and_harm_nobody() {
    let shop = Arc::new(Shop::with(patient()).await);
    shop.product(10.0, 5).await;
    let aliases: String = (0..900).map(|n| format!("a{n}:description ")).collect();
    let nested = [
        "fields{type{ofType{ofType{".repeat(7),
        aliases.clone(),
        "}".repeat(28),
    ]
    .concat();
    let doubled: String = (0..40)
        .map(|n| format!("fragment F{n} on Query {{ ...F{m} ...F{m} }} ", m = n + 1))
        .collect();
    let chained: String = (0..2000)
        .map(|n| format!("fragment F{n} on Query {{ ...F{} }} ", n + 1))
        .collect();
    let undefined: String = (0..4000).map(|n| format!("$v{n} ")).collect();
    let operations: String = (0..500)
        .map(|n| format!("query Q{n} {{ ...F }} "))
        .collect();
    for query in [
        format!("{{__schema{{types{{{nested}}}}}}}"),
        format!("{{__schema{{types{{{aliases}}}}}}}"),
        format!("{{ ...F0 }} {doubled} fragment F40 on Query {{ __typename }}"),
        format!("{{ __typename }} {chained}"),
        format!("{operations} fragment F on Query {{ a(b: [{undefined}]) }}"),
        "{a#}\n".repeat(10_000),
        "{a(b:\"}\")".repeat(6_000),
        "{ a ".repeat(10_000),
        format!("{{ {} }}", "x".repeat(60_000)),
        "query ($a: [Nope] = [1]) { stockLevel(productId: $a) }".to_owned(),
    ] {
        let answer = ask_at_once(&shop, json!({"query": query})).await;
        assert_eq!(answer["data"], json!(null), "{query:.40}");
        assert!(answer["errors"][0]["message"].is_string(), "{query:.40}");
    }
    assert_unharmed(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_answers_fit_into_an_instance() {
    let shop = Arc::new(Shop::with(patient()).await);
    shop.product(10.0, 5).await;
    // As many bytes as a name can have.
    let long = json!({"name": "😀".repeat(255), "sku": "L-1", "price": 1});
    let long = shop.post("/products", &long).await.expect(201)["product_id"].clone();
    let alias = |n| format!("{}{n}", "a".repeat(124 - format!("{n}").len()));
    let kinds: String = (0..400).map(|n| format!("{}:kind ", alias(n))).collect();
    let products: String = (0..360)
        .map(|n| format!("a{n}:product(id:\"{long}\"){{name}} "))
        .collect();
    let names: String = (0..900).map(|n| format!("a{n}:name ")).collect();
    for query in [
        format!("{{__schema{{types{{{kinds}}}}}}}"),
        format!("{{{products}}}"),
        format!("{{product(id:\"{long}\"){{{names}}}}}"),
    ] {
        let answer = ask_at_once(&shop, json!({"query": query})).await;
        assert_eq!(answer["errors"], json!(null), "{query:.40}");
    }
    assert_unharmed(&shop).await;
}

/// While one part of a query waits for MySQL, the other part of its answer lies in memory. The requests come one after
/// the other, so that one instance has them all.
#[tokio::test(flavor = "multi_thread")]
async fn half_answers_that_wait_for_mysql_fit_into_an_instance() {
    // One client's share of the connections is smaller than what an instance takes.
    let shop = Arc::new(Shop::with(patient()).await);
    let names: String = (0..950).map(|n| format!("a{n}:name ")).collect();
    let body = Arc::new(json!({
        "query": format!(
            "{{ missing: product(id: \"999999\") {{ id }} \
             __type(name: \"__DirectiveLocation\") {{ enumValues {{ {names} }} }} }}"
        ),
        "variables": {"a": "x".repeat(60_000)},
    }));
    let mut mysql = shop.store.mysql().await.unwrap();
    let lock = "LOCK TABLES products WRITE, stocks WRITE";
    mysql.query_drop(lock).await.unwrap();
    let mut asking = Vec::new();
    for number in 1..=AT_ONCE {
        let (asked, body) = (shop.clone(), body.clone());
        asking.push(tokio::spawn(async move { ask(&asked, &body).await }));
        shop.wait_in_flight("stocks", number).await;
        // Until it waits in its instance, the next request would have another one made.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    mysql.query_drop("UNLOCK TABLES").await.unwrap();
    for answer in join_all(asking).await {
        let answer = answer.unwrap();
        assert_eq!(answer["errors"], json!(null));
        assert_eq!(answer["data"]["missing"], json!(null));
        let values = answer["data"]["__type"]["enumValues"].as_array().unwrap();
        assert!(values.len() > 15 && values[0]["a949"].is_string());
    }
    assert_unharmed(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_variables_are_refused_and_harm_nobody() {
    let shop = Arc::new(Shop::with(patient()).await);
    shop.product(10.0, 5).await;
    let list = |member: &str| {
        let members = vec![member; 1_000_000 / (member.len() + 1)].join(",");
        format!(r#"{{"query":"{{__typename}}","variables":{{"a":[{members}]}}}}"#)
    };
    let nested = |open: &str, close: &str| {
        let depth = 100;
        let nest = format!("{}0{}", open.repeat(depth), close.repeat(depth));
        format!(r#"{{"query":"{{__typename}}","variables":{{"a":{nest}}}}}"#)
    };
    for body in [
        list("[]"),
        list("{}"),
        list("0"),
        list("\"\""),
        nested("[", "]"),
        nested("{\"a\":", "}"),
    ] {
        let body: Value = serde_json::from_str(&body).unwrap();
        let answer = ask_at_once(&shop, body).await;
        let message = answer["errors"][0]["message"].as_str().unwrap();
        assert!(
            message.starts_with("variables must have at most"),
            "{message}"
        );
    }
    assert_unharmed(&shop).await;
}

/// Each field has a copy of the variable, and all fields wait for MySQL together.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_id_that_many_fields_name_harms_nobody() {
    let shop = Arc::new(Shop::with(patient()).await);
    shop.product(10.0, 5).await;
    let fields: String = (0..440)
        .map(|n| format!("a{n}:stockLevel(productId:$a) "))
        .collect();
    let body = json!({
        "query": format!("query($a:String!){{{fields}}}"),
        "variables": {"a": "x".repeat(65_000)},
    });
    let answer = ask_at_once(&shop, body).await;
    assert_eq!(answer["errors"], Value::Null);
    assert_eq!(answer["data"]["a439"], Value::Null);
    assert_unharmed(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_beyond_int_is_the_fields_error() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let order = shop.order(user, product, 1).await.expect(201)["order_id"].clone();
    let most = json!({"product_id": product, "quantity": i32::MAX});
    shop.post("/stocks", &most).await.expect(201);
    let query = format!(
        "{{ stockLevel(productId: \"{product}\") product(id: \"{product}\") {{ quantity }} }}"
    );
    let query = json!({"query": query});
    let answer = ask(&shop, &query).await;
    assert_eq!(
        answer,
        json!({"data": {"stockLevel": i32::MAX, "product": {"quantity": i32::MAX}}, "errors": null})
    );

    shop.delete(&format!("/orders/{order}")).await.expect(200);
    assert_eq!(shop.stock(product).await, i64::from(i32::MAX) + 1);
    let answer = ask(&shop, &query).await;
    assert_eq!(
        answer["data"],
        json!({"stockLevel": null, "product": {"quantity": null}})
    );
    assert_eq!(answer["errors"].as_array().unwrap().len(), 2, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_fields_leave_an_empty_object_and_an_empty_operation_name_is_none() {
    let shop = Shop::open().await;
    shop.product(10.0, 5).await;
    for (query, data) in [
        (
            "{ stockLevel(productId: \"1\") @skip(if: true) }",
            json!({}),
        ),
        (
            "{ product(id: \"1\") { id @include(if: false) } }",
            json!({"product": {}}),
        ),
        (
            "query A { stockLevel(productId: \"1\") }",
            json!({"stockLevel": 5}),
        ),
    ] {
        for name in [json!(""), json!(null)] {
            let answer = ask(&shop, &json!({"query": query, "operationName": name})).await;
            assert_eq!(answer, json!({"data": data, "errors": null}));
        }
    }
}
