//! The hosts' own counters during a load, from their metrics.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use reqwest::Client;

use super::model::Counters;
use crate::measure::{label, series};

/// The counters at this moment.
pub(super) async fn count(hosts: &[(String, String)]) -> Result<Counters> {
    let client = Client::new();
    let mut counters = Counters::default();
    for (host, url) in hosts {
        let response = client.get(url).send().await;
        let response = response.and_then(reqwest::Response::error_for_status);
        let text = response
            .with_context(|| format!("reading {url}"))?
            .text()
            .await;
        let text = text.with_context(|| format!("reading {url}"))?;
        let requests = by_component(&text, "http_requests_total").map(|(_, value)| value);
        counters
            .requests_of_host
            .insert(host.clone(), requests.sum());
        let sums = [
            ("store_mysql_statements_total", &mut counters.statements),
            (
                "store_mysql_pool_timeouts_total",
                &mut counters.pool_timeouts,
            ),
        ];
        for (name, sum) in sums {
            for (component, value) in by_component(&text, name) {
                *sum.entry(component.to_owned()).or_default() += value;
            }
        }
    }
    Ok(counters)
}

/// The difference of the counters at two moments.
pub(super) fn between(before: &Counters, after: &Counters) -> Counters {
    let less = |after: &BTreeMap<String, f64>, before: &BTreeMap<String, f64>| {
        let pairs = after.iter().map(|(name, value)| {
            (
                name.clone(),
                value - before.get(name).copied().unwrap_or(0.0),
            )
        });
        pairs.collect()
    };
    Counters {
        statements: less(&after.statements, &before.statements),
        requests_of_host: less(&after.requests_of_host, &before.requests_of_host),
        pool_timeouts: less(&after.pool_timeouts, &before.pool_timeouts),
    }
}

/// The series of a metric that have a component label, by that label.
fn by_component<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    series(text, name).filter_map(|(labels, value)| Some((label(labels, "component")?, value)))
}
