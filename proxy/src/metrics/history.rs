//! What the console draws of the proxy's metrics.

use store_server::console::{Panel, Reading};

const GROUP: &[&str] = &["group"];
const UPSTREAM: &[&str] = &["upstream"];

/// Series of answers that failed.
const FAILED: Option<(&str, &[&str])> = Some(("status", &["5"]));

/// The same of tries, where none counts too.
const FAILED_TRIES: Option<(&str, &[&str])> = Some(("status", &["5", "error"]));

/// Results of requests that the cache may serve.
const CACHEABLE: Option<(&str, &[&str])> = Some((
    "result",
    &["hit", "stale", "revalidated", "expired", "miss"],
));

/// The charts, in the order in which the page shows them.
pub(crate) static PANELS: [Panel; 15] = [
    of(
        "requests",
        "Requests",
        "/s",
        "http_requests_total",
        GROUP,
        Reading::Rate,
    ),
    Panel {
        only: FAILED,
        ..of(
            "errors",
            "Errors (5xx)",
            "/s",
            "http_requests_total",
            GROUP,
            Reading::Rate,
        )
    },
    of(
        "p50",
        "Latency, p50",
        "s",
        "http_request_duration_seconds",
        GROUP,
        Reading::Quantile(0.5),
    ),
    of(
        "p99",
        "Latency, p99",
        "s",
        "http_request_duration_seconds",
        GROUP,
        Reading::Quantile(0.99),
    ),
    of(
        "upstream_requests",
        "Requests by upstream",
        "/s",
        "store_proxy_upstream_requests_total",
        UPSTREAM,
        Reading::Rate,
    ),
    Panel {
        only: FAILED_TRIES,
        ..of(
            "upstream_errors",
            "Failed tries by upstream",
            "/s",
            "store_proxy_upstream_requests_total",
            UPSTREAM,
            Reading::Rate,
        )
    },
    of(
        "upstream_p99",
        "Latency by upstream, p99",
        "s",
        "store_proxy_upstream_duration_seconds",
        UPSTREAM,
        Reading::Quantile(0.99),
    ),
    of(
        "in_flight",
        "In flight by upstream",
        "",
        "store_proxy_upstream_in_flight",
        UPSTREAM,
        Reading::Value,
    ),
    of(
        "queued",
        "Waiting for an upstream",
        "",
        "store_proxy_upstream_queued",
        UPSTREAM,
        Reading::Value,
    ),
    Panel {
        only: CACHEABLE,
        ..of(
            "cache_hits",
            "Answered from the cache",
            "share",
            "store_proxy_cache_requests_total",
            GROUP,
            Reading::Share("result", &["hit", "stale"]),
        )
    },
    of(
        "retries",
        "Retries",
        "/s",
        "store_proxy_retries_total",
        &["reason"],
        Reading::Rate,
    ),
    of(
        "refused",
        "Turned away",
        "/s",
        "store_proxy_refused_total",
        &["reason"],
        Reading::Rate,
    ),
    of(
        "connections",
        "Client connections",
        "",
        "store_proxy_connections",
        &[],
        Reading::Value,
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
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn all_that_is_drawn_is_counted() {
        let metrics = Metrics::new().expect("names are unique");
        metrics.upstream("store", "127.0.0.1:5000", None);
        metrics.group("store");
        metrics.cache("store", ["hit", "stale", "c", "d", "miss", "f", "g"]);
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
