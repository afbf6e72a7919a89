//! What the host shows of its own requests, without a receiver.

use std::collections::BTreeMap;

use futures::future::join_all;
use reqwest::Method;
use serde_json::Value;
use testbed::HostOptions;

use crate::group_orders::{count, one_instance, request};
use crate::support::{Shop, empty_store, eventually, options, order_body, refuses, send};

/// A shop that takes every request for slow.
async fn traced(options: HostOptions) -> Shop {
    let options = options.arg("--trace-tail").arg("--trace-slow").arg("1ns");
    Shop::with(options).await
}

/// What the host shows, the newest first.
pub(crate) async fn traces(shop: &Shop) -> Vec<Value> {
    let answer = shop.client.get(shop.host.admin_url("/traces")).send().await;
    answer.unwrap().json().await.unwrap()
}

pub(crate) fn spans(tree: &Value) -> &Vec<Value> {
    tree["spans"].as_array().unwrap()
}

pub(crate) fn span<'a>(tree: &'a Value, name: &str) -> &'a Value {
    let mut found = spans(tree).iter().filter(|span| span["name"] == name);
    found
        .next()
        .unwrap_or_else(|| panic!("no `{name}` in {tree:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_no_request_has_traces_of_its_own() {
    let shop = traced(options()).await;
    let mut refresh = None;
    eventually("a refresh with statements", async || {
        let traces = traces(&shop).await;
        refresh = traces.into_iter().find(|tree| {
            let is_call = |span: &Value| span["kind"] == "client";
            tree["name"] == "refresh reports" && spans(tree).iter().any(is_call)
        });
        refresh.is_some()
    })
    .await;
    let refresh = refresh.unwrap();
    assert_eq!(refresh["method"], Value::Null);
    assert_eq!(spans(&refresh)[0]["kind"], "internal");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_a_group_are_linked_with_the_one_that_places_them() {
    let shop = traced(one_instance()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 100).await);
    let body = order_body(user, product, 1);
    let orders = (0..30).map(|_| send(request(&shop, &body)));
    for answer in join_all(orders).await {
        answer.expect(201);
    }
    assert_eq!(count(&shop, "orders").await, 30);
    let is_order =
        |tree: &&Value| tree["method"] == "POST" && tree["route"].to_string().contains("orders");
    let mut all = Vec::new();
    eventually("all orders", async || {
        all = traces(&shop).await;
        all.iter().filter(is_order).count() >= 30
    })
    .await;
    let orders: BTreeMap<_, _> = all
        .iter()
        .filter(is_order)
        .map(|tree| (tree["trace_id"].as_str().unwrap(), tree))
        .collect();
    let places = |tree: &Value| {
        spans(tree)
            .iter()
            .any(|span| span["name"] == "INSERT orders")
    };
    let (mut leaders, mut members) = (0, 0);
    for tree in orders.values() {
        if places(tree) {
            leaders += 1;
            continue;
        }
        members += 1;
        let links = span(tree, "run orders")["links"]
            .as_array()
            .unwrap_or_else(|| panic!("{tree:#}"));
        let leads = |link: &Value| {
            orders
                .get(link["trace_id"].as_str().unwrap())
                .is_some_and(|other| places(other))
        };
        assert!(links.iter().any(leads), "{tree:#}");
    }
    assert!(
        leaders >= 1 && members >= 1,
        "{leaders} place those of {members}"
    );
}

/// Readers of one instance share its connection to Redis, which the first of them opened.
#[tokio::test(flavor = "multi_thread")]
async fn each_read_has_its_own_round_trips_to_redis() {
    const READS: usize = 6;
    let shop = traced(one_instance()).await;
    shop.refreshed().await;
    let products = [shop.product(10.0, 100).await, shop.product(5.0, 50).await];
    for product in products.iter().cycle().take(READS) {
        shop.stock(*product).await;
    }
    let mut reads = Vec::new();
    // The connection lives on, and keeps none of them from being finished.
    eventually("all reads are finished", async || {
        reads = traces(&shop).await;
        let is_read =
            |tree: &Value| tree["method"] == "GET" && tree["route"].to_string().contains("stocks");
        reads.retain(is_read);
        reads.len() == READS
    })
    .await;
    let is_redis = |span: &Value| span["attributes"]["db.system.name"] == "redis";
    let asked = reads.iter().filter(|tree| spans(tree).iter().any(is_redis));
    // While an epoch begins, a read may go to MySQL without asking Redis.
    assert!(asked.count() >= 2, "{reads:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_shows_neither_parameters_nor_paths() {
    let shop = traced(options()).await;
    let user = shop.user(4711).await;
    let path = format!("/users/{user}?name=secret");
    send(shop.request(Method::GET, &path)).await.expect(200);
    let mut text = String::new();
    eventually("the question", async || {
        let all = traces(&shop).await;
        text = Value::from(all.clone()).to_string();
        all.iter().any(|tree| tree["method"] == "GET")
    })
    .await;
    assert!(
        !text.contains("ada4711") && !text.contains("secret"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_of_opentelemetry_that_means_nothing_is_exit_code_2() {
    let store = empty_store().await;
    let options = options()
        .env("OTEL_TRACES_SAMPLER_ARG", "2")
        .env("OTEL_TRACES_SAMPLER", "traceidratio");
    refuses(&store, options, 2, &["OTEL_TRACES_SAMPLER_ARG", "`2`"]).await;
    let options = crate::support::options().env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    refuses(&store, options, 2, &["OTEL_EXPORTER_OTLP_ENDPOINT"]).await;
}
