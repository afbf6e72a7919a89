//! The charts of the proxy's metrics in the console.

use store_server::console::Panel;
use store_server::console::Reading::{Quantile, Rate, Share, Value};

const GROUP: &[&str] = &["group"];
/// A host may be an upstream of several groups.
const UPSTREAM: &[&str] = &["group", "upstream"];

/// Series of failed tries, with or without an answer.
const FAILED_TRIES: (&str, &[&str]) = ("status", &["5", "error"]);

/// Results of requests that could be answered from the cache.
const CACHEABLE: (&str, &[&str]) = (
    "result",
    &["hit", "stale", "revalidated", "expired", "miss"],
);

/// The charts, in the order in which the page shows them.
pub(crate) static PANELS: [Panel; 15] = [
    Panel::requests(GROUP),
    Panel::errors(GROUP),
    Panel::median_latency(GROUP),
    Panel::tail_latency(GROUP),
    Panel::new("store_proxy_upstream_requests_total", Rate)
        .titled("upstream_requests", "Requests by upstream")
        .by(UPSTREAM),
    Panel::new("store_proxy_upstream_requests_total", Rate)
        .titled("upstream_errors", "Failed tries by upstream")
        .by(UPSTREAM)
        .only(FAILED_TRIES),
    Panel::new("store_proxy_upstream_duration_seconds", Quantile(0.99))
        .titled("upstream_p99", "Latency by upstream, p99")
        .by(UPSTREAM),
    Panel::new("store_proxy_upstream_in_flight", Value)
        .titled("in_flight", "In flight by upstream")
        .by(UPSTREAM),
    Panel::new("store_proxy_upstream_queued", Value)
        .titled("queued", "Waiting for an upstream")
        .by(UPSTREAM),
    Panel::new(
        "store_proxy_cache_requests_total",
        Share("result", &["hit", "stale"]),
    )
    .titled("cache_hits", "Answered from the cache")
    .by(GROUP)
    .only(CACHEABLE),
    Panel::new("store_proxy_retries_total", Rate)
        .titled("retries", "Retries")
        .by(&["reason"]),
    Panel::new("store_proxy_refused_total", Rate)
        .titled("refused", "Turned away")
        .by(&["reason"]),
    Panel::new("store_proxy_connections", Value).titled("connections", "Client connections"),
    Panel::processor(),
    Panel::memory(),
];

#[cfg(test)]
mod tests {
    use store_server::console::undrawable;

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn all_that_is_drawn_is_counted() {
        let metrics = Metrics::new().expect("names are unique");
        metrics.upstream("store", "127.0.0.1:5000", None);
        metrics.group("store");
        metrics.cache("store", ["hit", "stale", "c", "d", "miss", "f", "g"]);
        assert_eq!(undrawable(&PANELS, &metrics.registry()), [""; 0]);
    }
}
