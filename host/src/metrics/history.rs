//! The host's metrics that the console charts.

use store_server::console::Reading::{Age, Quantile, Rate, Share, Value};
use store_server::console::{FAILED, Panel};

const ROUTE: &[&str] = &["method", "route"];
const COMPONENT: &[&str] = &["component"];
const GENERATION: &[&str] = &["component", "generation"];

/// The charts, in the order in which the page shows them.
pub(crate) static PANELS: [Panel; 15] = [
    Panel::requests(ROUTE),
    Panel::errors(ROUTE),
    Panel::median_latency(ROUTE),
    Panel::tail_latency(ROUTE),
    Panel::new("store_requests_in_flight", Value)
        .titled("in_flight", "In flight")
        .by(COMPONENT),
    Panel::new("store_mysql_pool_in_use", Value)
        .titled("pool_in_use", "MySQL connections in use")
        .by(COMPONENT),
    Panel::new("store_mysql_pool_size", Value)
        .titled("pool_size", "MySQL connections, at most")
        .by(COMPONENT),
    Panel::new("store_mysql_pool_waiting", Value)
        .titled("pool_waiting", "Waiting for MySQL")
        .by(COMPONENT),
    Panel::new(
        "store_redis_near_cache_reads_total",
        Share("outcome", &["hit"]),
    )
    .titled("cache_hits", "Reports found in memory")
    .by(COMPONENT),
    Panel::new("store_report_refreshed_timestamp_seconds", Age)
        .titled("report_age", "Age of the reports"),
    Panel::processor(),
    Panel::memory(),
    Panel::new("store_generation_requests_total", Rate)
        .titled("trial_requests", "Requests")
        .by(GENERATION),
    Panel::new("store_generation_requests_total", Rate)
        .titled("trial_errors", "Errors (5xx)")
        .by(GENERATION)
        .only(FAILED),
    Panel::new("store_generation_request_duration_seconds", Quantile(0.99))
        .titled("trial_p99", "Latency, p99")
        .by(GENERATION),
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store_server::console::undrawable;
    use store_server::trace::Span;

    use super::*;
    use crate::metrics::{Metrics, RouteMetrics};

    #[test]
    fn all_that_is_drawn_is_counted() {
        let metrics = Metrics::new().expect("names are unique");
        metrics.announce_component("orders");
        metrics.mysql_pool("orders");
        metrics.redis_near("orders");
        metrics.trials.trial("orders", "1");
        let route = RouteMetrics::new(metrics.requests.clone(), "orders", "/orders");
        let get = route.of(&http::Method::GET);
        get.leave(200, Duration::from_millis(100), &Span::default());
        assert_eq!(undrawable(&PANELS, &metrics.registry()), [""; 0]);
    }
}
