//! Buckets that name a trace, for scrapers that ask for OpenMetrics.

use reqwest::Method;
use serde_json::Value;

use crate::support::{Answer, Shop, eventually, options, send};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// All metrics for a scraper with this `Accept`.
async fn scrape(shop: &Shop, accept: &str) -> Answer {
    let request = shop.client.get(shop.host.admin_url("/metrics"));
    let request = request.header("accept", accept);
    send(request.header("connection", "close")).await
}

/// The traces that are named by buckets of the histogram of requests to this route.
async fn named(shop: &Shop, route: &str) -> Vec<String> {
    let label = format!("route=\"{route}\"");
    named_by(shop, "http_request_duration_seconds_bucket", &label).await
}

/// The traces that are named by these buckets with this label.
async fn named_by(shop: &Shop, buckets: &str, label: &str) -> Vec<String> {
    let answer = scrape(shop, "application/openmetrics-text; version=1.0.0").await;
    let lines = answer.text.lines();
    let buckets = lines.filter(|line| line.starts_with(buckets) && line.contains(label));
    let exemplars = buckets.filter_map(|line| line.split_once(" # {trace_id=\""));
    exemplars
        .map(|(_, exemplar)| exemplar.split('"').next().unwrap().to_owned())
        .collect()
}

async fn ask_in_a_trace(shop: &Shop) {
    let request = shop.request(Method::GET, "/orders/1");
    let request = request.header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"));
    assert_eq!(send(request).await.problem(404), "there is no order 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_names_the_last_trace_in_it_that_is_kept() {
    let slow = ["--trace-tail", "--trace-slow", "1ns"];
    let slow = slow.iter().chain(&["--trace-accept", "anyone"]);
    let shop = Shop::with(slow.fold(options(), |options, arg| options.arg(*arg))).await;
    ask_in_a_trace(&shop).await;
    eventually("the trace is named", async || {
        named(&shop, "/orders/:id").await == [TRACE]
    })
    .await;
    // It waited for a connection to MySQL.
    let buckets = "store_mysql_pool_wait_seconds_bucket";
    let waits = named_by(&shop, buckets, "component=\"orders\"").await;
    assert!(!waits.is_empty() && waits.iter().all(|trace| trace == TRACE));
    let shown = shop.client.get(shop.host.admin_url("/traces")).send().await;
    let shown: Value = shown.unwrap().json().await.unwrap();
    let mut shown = shown.as_array().unwrap().iter();
    assert!(shown.any(|tree| tree["trace_id"] == TRACE));
}

/// Nobody could look at it: it is neither sent nor kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_is_thrown_away_is_not_named() {
    let args = ["--trace-tail", "--trace-accept", "anyone"];
    let options = args
        .iter()
        .fold(options(), |options, arg| options.arg(*arg));
    let shop = Shop::with(options).await;
    ask_in_a_trace(&shop).await;
    eventually("the request is counted", async || {
        let text = shop.scrape().await;
        text.contains("status=\"404\"")
    })
    .await;
    assert_eq!(named(&shop, "/orders/:id").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scraper_gets_the_form_that_it_likes_best() {
    let shop = Shop::open().await;
    shop.get("/orders/1").await.problem(404);
    for (accept, is_open) in [
        ("application/openmetrics-text; version=1.0.0", true),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.1", true),
        (
            "application/openmetrics-text;q=0.1, text/plain;q=0.2",
            false,
        ),
        ("*/*", false),
    ] {
        let answer = scrape(&shop, accept).await;
        let media_type = answer.headers["content-type"].to_str().unwrap();
        let wanted = match is_open {
            true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            false => "text/plain; version=0.0.4",
        };
        assert_eq!(media_type, wanted, "{accept}");
        assert_eq!(answer.text.ends_with("\n# EOF\n"), is_open);
        let counter = match is_open {
            true => "# TYPE http_requests counter\nhttp_requests_total{",
            false => "# TYPE http_requests_total counter\nhttp_requests_total{",
        };
        assert!(answer.text.contains(counter), "{}", answer.text);
    }
}
