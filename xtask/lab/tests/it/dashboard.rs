//! What Prometheus knows of a store under load: the course's counters, and every query of the dashboard.

use std::fs;

use serde_json::Value;

use crate::observed::ObservedStore;
use crate::support::{eventually, repository};

/// The course's counters and the routes whose calls they count.
const COUNTERS: [(&str, &str); 3] = [
    ("orders_total", "POST /orders"),
    (
        "highest_spenders_total",
        "GET /orders/reports/highest-spenders",
    ),
    ("best_sellers_total", "GET /orders/reports/best-sellers"),
];

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_counts_exactly_what_locust_sent_and_has_traces_and_data_for_the_dashboard() {
    let observed = ObservedStore::start().await;
    let mut load = vec!["--users", "10", "--spawn-rate", "10", "--time", "6s"];
    let course = observed.load(&load).await;
    load.extend(["--profile", "saturate"]);
    let saturated = observed.load(&load).await;

    observed.scraped().await;
    for (counter, route) in COUNTERS {
        let sent = requests(&course, route) + requests(&saturated, route);
        assert!(sent > 10.0, "only {sent} {route}");
        let counted = observed.query(&format!("sum({counter})")).await;
        assert_eq!(counted, [sent], "{counter}");
    }

    eventually("a bucket that names a trace", async || {
        let buckets = "http_request_duration_seconds_bucket{job=\"store-host\"}";
        let named = observed.exemplars(buckets).await;
        let shown = observed.traces().await;
        named
            .iter()
            .any(|trace| shown.contains(trace))
            .then_some(())
    })
    .await;

    for query in queries() {
        eventually(&format!("data for {query}"), async || {
            let values = observed.query(&query).await;
            values.iter().any(|value| value.is_finite()).then_some(())
        })
        .await;
    }
}

fn requests(summary: &Value, route: &str) -> f64 {
    let routes = summary["routes"].as_array().unwrap();
    let found = routes.iter().find(|figures| figures["name"] == route);
    found.unwrap()["requests"].as_f64().unwrap()
}

/// Every query of the dashboard, with a value for Grafana's own variable.
fn queries() -> Vec<String> {
    let file = repository().join("loadtest/grafana/store.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter(|panel| panel["type"] != "row")
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries: Vec<String> = targets
        .map(|target| target["expr"].as_str().unwrap())
        .map(|query| query.replace("$__rate_interval", "1m"))
        .collect();
    assert!(queries.len() > 50, "{queries:?}");
    assert!(
        queries.iter().all(|query| !query.contains('$')),
        "{queries:?}"
    );
    queries
}
