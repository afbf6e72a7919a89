//! What the console draws of the host's metrics.

use store_server::console::{Panel, Reading};

/// Series of answers that failed.
const FAILED: Option<(&str, &[&str])> = Some(("status", &["5"]));

const ROUTE: &[&str] = &["method", "route"];
const COMPONENT: &[&str] = &["component"];
const GENERATION: &[&str] = &["component", "generation"];

/// The charts, in the order in which the page shows them.
pub(crate) static PANELS: [Panel; 15] = [
    of(
        "requests",
        "Requests",
        "/s",
        "http_requests_total",
        ROUTE,
        Reading::Rate,
    ),
    Panel {
        only: FAILED,
        ..of(
            "errors",
            "Errors (5xx)",
            "/s",
            "http_requests_total",
            ROUTE,
            Reading::Rate,
        )
    },
    of(
        "p50",
        "Latency, p50",
        "s",
        "http_request_duration_seconds",
        ROUTE,
        Reading::Quantile(0.5),
    ),
    of(
        "p99",
        "Latency, p99",
        "s",
        "http_request_duration_seconds",
        ROUTE,
        Reading::Quantile(0.99),
    ),
    of(
        "in_flight",
        "In flight",
        "",
        "store_requests_in_flight",
        COMPONENT,
        Reading::Value,
    ),
    of(
        "pool_in_use",
        "MySQL connections in use",
        "",
        "store_mysql_pool_in_use",
        COMPONENT,
        Reading::Value,
    ),
    of(
        "pool_size",
        "MySQL connections, at most",
        "",
        "store_mysql_pool_size",
        COMPONENT,
        Reading::Value,
    ),
    of(
        "pool_waiting",
        "Waiting for MySQL",
        "",
        "store_mysql_pool_waiting",
        COMPONENT,
        Reading::Value,
    ),
    of(
        "cache_hits",
        "Reports found in memory",
        "share",
        "store_redis_near_cache_reads_total",
        COMPONENT,
        Reading::Share("outcome", &["hit"]),
    ),
    of(
        "report_age",
        "Age of the reports",
        "s",
        "store_report_refreshed_timestamp_seconds",
        &[],
        Reading::Age,
    ),
    of(
        "cpu",
        "Processor",
        "cores",
        "process_cpu_seconds_total",
        &[],
        Reading::Processor,
    ),
    of(
        "memory",
        "Memory",
        "bytes",
        "process_resident_memory_bytes",
        &[],
        Reading::Value,
    ),
    of(
        "trial_requests",
        "Requests",
        "/s",
        "store_generation_requests_total",
        GENERATION,
        Reading::Rate,
    ),
    Panel {
        only: FAILED,
        ..of(
            "trial_errors",
            "Errors (5xx)",
            "/s",
            "store_generation_requests_total",
            GENERATION,
            Reading::Rate,
        )
    },
    of(
        "trial_p99",
        "Latency, p99",
        "s",
        "store_generation_request_duration_seconds",
        GENERATION,
        Reading::Quantile(0.99),
    ),
];

const fn of(
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    metric: &'static str,
    by: &'static [&'static str],
    reading: Reading,
) -> Panel {
    Panel {
        id,
        title,
        unit,
        metric,
        by,
        only: None,
        reading,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store_server::trace::Span;

    use super::*;
    use crate::metrics::{Metrics, RouteMetrics};

    #[test]
    fn all_that_is_drawn_is_counted() {
        let metrics = Metrics::new().expect("names are unique");
        metrics.announce_component("orders");
        metrics.mysql_pool("orders");
        metrics.redis_near("orders");
        metrics.swaps.trial("orders", "1");
        let route = RouteMetrics::new(metrics.requests.clone(), "orders", "/orders");
        let get = route.of(&http::Method::GET);
        get.leave(200, Duration::from_millis(100), &Span::default());
        let families = metrics.registry().gather();
        for panel in &PANELS {
            let family = families.iter().find(|one| one.name() == panel.metric);
            let family = family.unwrap_or_else(|| panic!("no {}", panel.metric));
            let labels = family.get_metric()[0].get_label();
            let has = |name: &str| labels.iter().any(|label| label.name() == name);
            let only = panel.only.map(|(name, _)| name);
            let wanted = panel.by.iter().copied().chain(only);
            for name in wanted {
                assert!(has(name), "{} has no label {name}", panel.metric);
            }
        }
    }
}
