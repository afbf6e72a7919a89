//! Every metric of the proxy, declared once. `docs/METRICS.md` explains them to operators.
//!
//! `upstream` has the metrics of upstreams and groups, `cache` those of caches, `course` the calls that the course
//! counts, `refusal` the requests and connections that the proxy refuses; the rest is here. `history` says which
//! metrics the console draws. Nothing here decides anything.

mod cache;
mod course;
mod history;
mod refusal;
mod upstream;

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};
use store_server::build::Build;
use store_server::metrics::{Declare, Format, GaugeGuard, registry, render, set_to_now};
use store_server::trace::SpanCounters;

use cache::CacheVecs;
pub(crate) use cache::{CacheMetrics, RESULTS};
use course::CourseCounters;
pub(crate) use history::PANELS;
pub(crate) use refusal::Reason;
pub(crate) use upstream::{ERROR, GroupMetrics, UpstreamMetrics, class};
use upstream::{GroupVecs, UpstreamVecs};

/// Possible results of a name's look-up.
const LOOKUP_RESULTS: [&str; 3] = ["ok", "empty", "failed"];

/// All metrics of one proxy.
pub(crate) struct Metrics {
    /// Requests answered 429 because of their rate.
    rate_limited: IntCounter,
    /// Open client connections.
    pub(crate) connections: IntGauge,
    /// Refused connections that stay open until their clients have been told.
    refused_connections: IntGauge,
    /// Access log lines that were lost because the disk was too slow.
    pub(crate) log_lines_dropped: IntCounter,
    /// Spans by what became of them.
    pub(crate) spans: SpanCounters,
    refused: [IntCounter; Reason::ALL.len()],
    registry: Registry,
    reloads: IntCounterVec,
    lookups: IntCounterVec,
    config_loaded: IntGauge,
    upstreams: UpstreamVecs,
    groups: GroupVecs,
    caches: CacheVecs,
    course: CourseCounters,
}

impl Metrics {
    /// Declares and registers all metrics.
    ///
    /// # Errors
    /// Two metrics have one name, which is a bug in this module.
    pub(crate) fn new() -> prometheus::Result<Arc<Self>> {
        let registry = registry()?;
        let declare = Declare::new(&registry);
        Build::this().declare(&declare, "store_proxy_build_info")?;
        let metrics = Self {
            rate_limited: declare.counter(
                "store_proxy_rate_limited_total",
                "Requests answered 429 because their client asked too often",
            )?,
            refused: refusal::declare(&declare)?,
            spans: SpanCounters::declare(&declare, "store_proxy_trace_spans_total")?,
            connections: declare.gauge(
                "store_proxy_connections",
                "Client connections that are open",
            )?,
            refused_connections: declare.gauge(
                "store_proxy_refused_connections",
                "Refused connections that are open until their clients have been told",
            )?,
            log_lines_dropped: declare.counter(
                "store_proxy_access_log_dropped_total",
                "Access log lines lost because the disk was too slow",
            )?,
            reloads: declare.counters(
                "store_proxy_reloads_total",
                "Times the configuration was read again",
                &["result"],
            )?,
            lookups: declare.counters(
                "store_proxy_name_lookups_total",
                "Look-ups of a server's name: ok, empty when the name has no addresses, failed when no name server answered",
                &["name", "result"],
            )?,
            config_loaded: declare.gauge(
                "store_proxy_config_loaded_timestamp_seconds",
                "When the configuration in use was read",
            )?,
            upstreams: UpstreamVecs::declare(&declare)?,
            groups: GroupVecs::declare(&declare)?,
            caches: CacheVecs::declare(&declare)?,
            course: CourseCounters::declare(&declare)?,
            registry: registry.clone(),
        };
        // Makes these series visible before the first reload, so that rates start at zero.
        for result in ["ok", "failed"] {
            metrics.reloads.with_label_values(&[result]);
        }
        set_to_now(&metrics.config_loaded);
        Ok(Arc::new(metrics))
    }

    /// All metrics, as text for a scraper.
    ///
    /// # Errors
    /// A metric has no name or no value, which is a bug in this module.
    pub(crate) fn render(&self, format: Format) -> prometheus::Result<String> {
        let timings = [self.groups.timings(), self.upstreams.timings()];
        render(&self.registry, &timings, format)
    }

    /// The registry of all metrics, for taking samples.
    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// The metrics of one upstream; `name` is the name that led to its address. Each call returns the same metrics.
    pub(crate) fn upstream(
        &self,
        group: &str,
        address: &str,
        name: Option<&str>,
    ) -> UpstreamMetrics {
        self.upstreams.of(group, address, name)
    }

    /// Removes the series of an upstream that no longer exists.
    pub(crate) fn forget_upstream(&self, group: &str, address: &str) {
        self.upstreams.forget(group, address);
    }

    /// Removes the series that tells which name led to an upstream.
    pub(crate) fn forget_upstream_name(&self, group: &str, address: &str, name: &str) {
        self.upstreams.forget_name(group, address, name);
    }

    /// Makes the series of a name visible before its first look-up, so that a failure shows as a rise.
    pub(crate) fn announce_name(&self, name: &str) {
        for result in LOOKUP_RESULTS {
            self.lookups.with_label_values(&[name, result]);
        }
    }

    /// Counts a look-up of a name, by its result: one of [`LOOKUP_RESULTS`].
    pub(crate) fn name_looked_up(&self, name: &str, result: &str) {
        self.lookups.with_label_values(&[name, result]).inc();
    }

    /// Removes the series of a name that is no longer in the file.
    pub(crate) fn forget_name(&self, name: &str) {
        for result in LOOKUP_RESULTS {
            upstream::forget(&self.lookups, &[name, result]);
        }
    }

    /// The metrics of one group. Each call returns the same metrics.
    pub(crate) fn group(&self, group: &str) -> GroupMetrics {
        self.groups.of(group)
    }

    /// The metrics of one group's cache, which counts requests by these results. Each call returns the same metrics.
    pub(crate) fn cache(&self, group: &str, results: [&str; RESULTS]) -> CacheMetrics {
        self.caches.of(group, results)
    }

    /// Counts a GET of `path`, in normal form, that no host sees, if the course counts such calls.
    pub(crate) fn answered_from_cache(&self, path: &[u8]) {
        self.course.count(path);
    }

    /// Counts a request or a connection that the proxy refuses.
    pub(crate) fn refuse(&self, reason: Reason) {
        self.refused[reason as usize].inc();
        if reason == Reason::Rate {
            self.rate_limited.inc();
        }
    }

    /// Counts one more refused connection until the guard is dropped.
    pub(crate) fn refused_connection(&self) -> GaugeGuard {
        GaugeGuard::new(self.refused_connections.clone())
    }

    /// Counts a successful reload.
    pub(crate) fn reloaded(&self) {
        self.reloads.with_label_values(&["ok"]).inc();
        set_to_now(&self.config_loaded);
    }

    /// Counts a failed reload, which leaves everything unchanged.
    pub(crate) fn reload_failed(&self) {
        self.reloads.with_label_values(&["failed"]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_forgotten_upstream_are_gone() {
        let metrics = Metrics::new().expect("names are unique");
        let (one, two) = ("127.0.0.1:5000", "127.0.0.1:5001");
        metrics
            .upstream("store", one, Some("store-host:5000"))
            .requests[class(200)]
        .inc();
        metrics.upstream("store", two, None).healthy.set(1);
        metrics.forget_upstream("store", one);
        metrics.forget_upstream_name("store", one, "store-host:5000");
        metrics.forget_upstream("store", "127.0.0.1:9");
        let text = metrics.render(Format::Text).expect("renders");
        assert!(!text.contains(one), "{text}");
        assert!(text.contains(two), "{text}");
    }

    #[test]
    fn a_name_has_all_its_series_from_its_first_look_up_to_its_last() {
        let metrics = Metrics::new().expect("names are unique");
        let series = || {
            let text = metrics.render(Format::Text).expect("renders");
            let lines = text.lines().filter(|line| line.contains("store.test"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let line = |result: &str, count: u64| {
            format!(
                "store_proxy_name_lookups_total{{name=\"store.test\",result=\"{result}\"}} {count}"
            )
        };
        metrics.announce_name("store.test");
        assert_eq!(
            series(),
            [line("empty", 0), line("failed", 0), line("ok", 0)]
        );
        metrics.name_looked_up("store.test", "failed");
        // A name that is announced again keeps its counts.
        metrics.announce_name("store.test");
        assert_eq!(
            series(),
            [line("empty", 0), line("failed", 1), line("ok", 0)]
        );
        metrics.forget_name("store.test");
        assert_eq!(series(), [""; 0]);
    }

    #[test]
    fn statuses_are_counted_by_class() {
        let metrics = Metrics::new().expect("names are unique");
        let group = metrics.group("store");
        for status in [200, 204, 503, 0, 999] {
            group.requests[class(status)].inc();
        }
        let text = metrics.render(Format::Text).expect("renders");
        for line in [
            "http_requests_total{group=\"store\",status=\"2xx\"} 2",
            "http_requests_total{group=\"store\",status=\"5xx\"} 1",
            "http_requests_total{group=\"store\",status=\"error\"} 2",
            "store_proxy_reloads_total{result=\"failed\"} 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "no `{line}` in\n{text}"
            );
        }
    }
}
