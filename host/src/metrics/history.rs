//! The host's metrics that the console charts.

use store_server::console::{FAILED, Panel, Reading};

const ROUTE: &[&str] = &["method", "route"];
const COMPONENT: &[&str] = &["component"];
const GENERATION: &[&str] = &["component", "generation"];

/// The charts, in the order in which the page shows them.
pub(crate) static PANELS: [Panel; 15] = [
    Panel::requests(ROUTE),
    Panel::errors(ROUTE),
    Panel::median_latency(ROUTE),
    Panel::tail_latency(ROUTE),
    Panel::new(
        "in_flight",
        "In flight",
        "",
        Reading::Value,
        "store_requests_in_flight",
    )
    .by(COMPONENT),
    Panel::new(
        "pool_in_use",
        "MySQL connections in use",
        "",
        Reading::Value,
        "store_mysql_pool_in_use",
    )
    .by(COMPONENT),
    Panel::new(
        "pool_size",
        "MySQL connections, at most",
        "",
        Reading::Value,
        "store_mysql_pool_size",
    )
    .by(COMPONENT),
    Panel::new(
        "pool_waiting",
        "Waiting for MySQL",
        "",
        Reading::Value,
        "store_mysql_pool_waiting",
    )
    .by(COMPONENT),
    Panel::new(
        "cache_hits",
        "Reports found in memory",
        "share",
        Reading::Share("outcome", &["hit"]),
        "store_redis_near_cache_reads_total",
    )
    .by(COMPONENT),
    Panel::new(
        "report_age",
        "Age of the reports",
        "s",
        Reading::Age,
        "store_report_refreshed_timestamp_seconds",
    ),
    Panel::processor(),
    Panel::memory(),
    Panel::new(
        "trial_requests",
        "Requests",
        "/s",
        Reading::Rate,
        "store_generation_requests_total",
    )
    .by(GENERATION),
    Panel::new(
        "trial_errors",
        "Errors (5xx)",
        "/s",
        Reading::Rate,
        "store_generation_requests_total",
    )
    .by(GENERATION)
    .only(FAILED),
    Panel::new(
        "trial_p99",
        "Latency, p99",
        "s",
        Reading::Quantile(0.99),
        "store_generation_request_duration_seconds",
    )
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
