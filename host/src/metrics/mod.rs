//! Every metric of the host, declared once. `docs/METRICS.md` explains them to operators.
//!
//! `requests` are counted by route, `swaps` by component; the rest is here. Whoever does a thing counts it by a method
//! that has the thing's name. Nothing here decides anything, and no other room declares a metric.

mod requests;
mod swaps;

use std::sync::Arc;
use std::time::SystemTime;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

pub(crate) use self::requests::{MethodMetrics, RequestMetrics, RouteMetrics};
pub(crate) use self::swaps::{GenerationRow, SwapMetrics, TrialMetrics};

/// Bounds in seconds for requests: a cached report takes under a millisecond, a limit is usually 30 s.
const REQUEST_SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Bounds in seconds for the wait for a pooled connection: none at all, up to the usual limit of 2 s.
const WAIT_SECONDS: [f64; 8] = [0.0001, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

/// All metrics of one host.
pub(crate) struct Metrics {
    registry: Registry,
    instances: IntGaugeVec,
    traps: IntCounterVec,
    component_info: IntGaugeVec,
    redis_errors: IntCounterVec,
    redis_near_reads: IntCounterVec,
    outbound_refused: IntCounterVec,
    refreshes: IntCounterVec,
    refresh_seconds: Histogram,
    refreshed: IntGauge,
    purges: IntCounterVec,
    refusals: IntCounterVec,
    pool: PoolVecs,
    /// Requests, by route.
    pub(crate) requests: Arc<RequestMetrics>,
    /// Swaps, generations and canaries.
    pub(crate) swaps: SwapMetrics,
}

struct PoolVecs {
    size: IntGaugeVec,
    in_use: IntGaugeVec,
    idle: IntGaugeVec,
    waiting: IntGaugeVec,
    wait_seconds: HistogramVec,
    timeouts: IntCounterVec,
    opened: IntCounterVec,
    statements: IntCounterVec,
    repeated: IntCounterVec,
}

impl Metrics {
    /// Declares and registers everything.
    ///
    /// # Errors
    /// Two metrics have one name, which is a mistake in this room.
    pub(crate) fn new() -> prometheus::Result<Arc<Self>> {
        let registry = Registry::new();
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        let declare = Declare {
            registry: &registry,
        };
        let metrics = Self {
            instances: declare.gauges("store_instances", "Instances alive", &["component"])?,
            traps: declare.counters(
                "store_traps_total",
                "Instances ended by a trap or a time limit",
                &["component"],
            )?,
            component_info: declare.gauges(
                "store_component_info",
                "Always 1: the SHA-256 of the component that serves",
                &["component", "digest"],
            )?,
            redis_errors: declare.counters(
                "store_redis_errors_total",
                "Redis commands that failed",
                &["component"],
            )?,
            redis_near_reads: declare.counters(
                "store_redis_near_cache_reads_total",
                "Reads of keys that the component asks to be kept near: hit or miss",
                &["component", "outcome"],
            )?,
            outbound_refused: declare.counters(
                "store_outbound_refused_total",
                "What a component asked MySQL or Redis for and the host refused: address, command, pools or size",
                &["component", "reason"],
            )?,
            refreshes: declare.counters(
                "store_refreshes_total",
                "Refreshes of the cached reports: rebuilt, unchanged, elsewhere or failed",
                &["outcome"],
            )?,
            refresh_seconds: declare.histogram(
                "store_refresh_duration_seconds",
                "Time of one refresh that this host did itself",
                &REQUEST_SECONDS,
            )?,
            refreshed: declare.gauge(
                "store_report_refreshed_timestamp_seconds",
                "When this host last made the reports anew or found them up to date, in Unix time; 0: never",
            )?,
            purges: declare.counters(
                "store_purges_total",
                "Proxies told to forget the answers they keep: done or failed",
                &["result"],
            )?,
            refusals: declare.counters(
                "store_refusals_total",
                "Requests that the host answered itself, and connections that it closed, by reason",
                &["reason"],
            )?,
            pool: declare.pool()?,
            requests: Arc::new(RequestMetrics::declare(&declare)?),
            swaps: SwapMetrics::declare(&declare)?,
            registry: registry.clone(),
        };
        metrics.announce();
        Ok(Arc::new(metrics))
    }

    /// Makes series visible before anything is counted: an alert sees an increase only if there was a value before it.
    fn announce(&self) {
        for outcome in ["rebuilt", "unchanged", "elsewhere", "failed"] {
            self.refreshes.with_label_values(&[outcome]);
        }
        for result in ["done", "failed"] {
            self.purges.with_label_values(&[result]);
        }
    }

    /// All metrics in Prometheus's text format, version 0.0.4.
    pub(crate) fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Makes the series of a component visible before its first request, so that rates start at zero.
    pub(crate) fn announce_component(&self, component: &str) {
        self.instances.with_label_values(&[component]);
        self.requests.announce(component);
        self.traps.with_label_values(&[component]);
        self.redis_errors.with_label_values(&[component]);
        for refusal in Refusal::ALL {
            self.outbound_refused
                .with_label_values(&[component, refusal.label()]);
        }
        self.swaps.announce(component);
    }

    /// Shows the digest of the component that serves, in place of the one `before`.
    pub(crate) fn component_serves(&self, component: &str, before: Option<&str>, digest: &str) {
        if let Some(before) = before.filter(|before| *before != digest) {
            // Absent only if it never served.
            _ = self
                .component_info
                .remove_label_values(&[component, before]);
        }
        self.component_info
            .with_label_values(&[component, digest])
            .set(1);
    }

    /// Takes the digest of a component that serves no longer away.
    pub(crate) fn component_left(&self, component: &str, digest: &str) {
        // Absent only if it never served.
        _ = self
            .component_info
            .remove_label_values(&[component, digest]);
    }

    /// One more instance until the guard is dropped.
    pub(crate) fn instance(&self, component: &str) -> InUse {
        InUse::new(self.instances.with_label_values(&[component]))
    }

    pub(crate) fn trap(&self, component: &str) {
        self.traps.with_label_values(&[component]).inc();
    }

    pub(crate) fn redis_error(&self, component: &str) {
        self.redis_errors.with_label_values(&[component]).inc();
    }

    /// Counts something that a component asked for and the host refused.
    pub(crate) fn refuse_outbound(&self, component: &str, refusal: Refusal) {
        let labels = [component, refusal.label()];
        self.outbound_refused.with_label_values(&labels).inc();
    }

    /// The counters of what one component's Redis connections keep near.
    pub(crate) fn redis_near(&self, component: &str) -> NearMetrics {
        let outcome = |outcome| {
            self.redis_near_reads
                .with_label_values(&[component, outcome])
        };
        NearMetrics {
            hits: outcome("hit"),
            misses: outcome("miss"),
        }
    }

    /// Counts a refresh; `seconds` is absent when another host did it.
    pub(crate) fn refresh(&self, outcome: &str, seconds: Option<f64>) {
        self.refreshes.with_label_values(&[outcome]).inc();
        if let Some(seconds) = seconds {
            self.refresh_seconds.observe(seconds);
            self.refreshed.set(unix_seconds());
        }
    }

    /// Makes a reason for a refusal visible before it is counted.
    pub(crate) fn announce_refusal(&self, reason: &str) {
        self.refusals.with_label_values(&[reason]);
    }

    /// Counts a request or a connection that was refused.
    pub(crate) fn refused(&self, reason: &str) {
        self.refusals.with_label_values(&[reason]).inc();
    }

    /// Counts a proxy that was told to forget, or could not be.
    pub(crate) fn purge(&self, result: &str) {
        self.purges.with_label_values(&[result]).inc();
    }

    /// The metrics of one component's pools.
    pub(crate) fn mysql_pool(&self, component: &str) -> PoolMetrics {
        let labels = [component];
        PoolMetrics {
            size: self.pool.size.with_label_values(&labels),
            in_use: self.pool.in_use.with_label_values(&labels),
            idle: self.pool.idle.with_label_values(&labels),
            waiting: self.pool.waiting.with_label_values(&labels),
            wait_seconds: self.pool.wait_seconds.with_label_values(&labels),
            timeouts: self.pool.timeouts.with_label_values(&labels),
            opened: self.pool.opened.with_label_values(&labels),
            statements: self.pool.statements.with_label_values(&labels),
            repeated: self.pool.repeated.with_label_values(&labels),
        }
    }
}

/// Why the host does not do for a component what it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The address is not one, or not among the allowed ones.
    Address,
    /// A command of Redis that would block, switch or subscribe.
    Command,
    /// The component uses too many addresses at once.
    Pools,
    /// A row or an answer is larger than the host holds for the component.
    Size,
    /// What the host holds for the component already leaves no room.
    Full,
}

impl Refusal {
    const ALL: [Self; 5] = [
        Self::Address,
        Self::Command,
        Self::Pools,
        Self::Size,
        Self::Full,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Command => "command",
            Self::Pools => "pools",
            Self::Size => "size",
            Self::Full => "full",
        }
    }
}

/// What is counted of the keys that one component asks to be kept near.
pub(crate) struct NearMetrics {
    pub(crate) hits: IntCounter,
    pub(crate) misses: IntCounter,
}

/// What the pools of one component count.
pub(crate) struct PoolMetrics {
    pub(crate) size: IntGauge,
    in_use: IntGauge,
    pub(crate) idle: IntGauge,
    waiting: IntGauge,
    pub(crate) wait_seconds: Histogram,
    pub(crate) timeouts: IntCounter,
    pub(crate) opened: IntCounter,
    pub(crate) statements: IntCounter,
    pub(crate) repeated: IntCounter,
}

impl PoolMetrics {
    /// One more connection in use until the guard is dropped.
    pub(crate) fn enter(&self) -> InUse {
        InUse::new(self.in_use.clone())
    }

    /// One more request waiting for a connection until the guard is dropped.
    pub(crate) fn wait(&self) -> InUse {
        InUse::new(self.waiting.clone())
    }
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}

/// Adds one to a gauge and takes it off on drop, however the work ends.
pub(crate) struct InUse(IntGauge);

impl InUse {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Declares metrics and registers them at once.
struct Declare<'a> {
    registry: &'a Registry,
}

impl Declare<'_> {
    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
        labels: &[&str],
    ) -> prometheus::Result<HistogramVec> {
        let opts = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.register(HistogramVec::new(opts, labels)?)
    }

    fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> prometheus::Result<Histogram> {
        let opts = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.register(Histogram::with_opts(opts)?)
    }

    fn pool(&self) -> prometheus::Result<PoolVecs> {
        let labels = ["component"];
        Ok(PoolVecs {
            size: self.gauges(
                "store_mysql_pool_size",
                "Most connections the pool may open",
                &labels,
            )?,
            in_use: self.gauges(
                "store_mysql_pool_in_use",
                "Connections held by requests",
                &labels,
            )?,
            idle: self.gauges(
                "store_mysql_pool_idle",
                "Open connections that nobody holds",
                &labels,
            )?,
            waiting: self.gauges(
                "store_mysql_pool_waiting",
                "Requests waiting for a connection",
                &labels,
            )?,
            wait_seconds: self.histograms(
                "store_mysql_pool_wait_seconds",
                "Time from asking for a connection to having one",
                &WAIT_SECONDS,
                &labels,
            )?,
            timeouts: self.counters(
                "store_mysql_pool_timeouts_total",
                "Waits that reached the limit",
                &labels,
            )?,
            opened: self.counters(
                "store_mysql_connections_opened_total",
                "Connections opened",
                &labels,
            )?,
            statements: self.counters(
                "store_mysql_statements_total",
                "Statements run for components",
                &labels,
            )?,
            repeated: self.counters(
                "store_mysql_statements_repeated_total",
                "Reads sent again on a new connection because theirs had been closed",
                &labels,
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refresh_of_our_own_says_when() {
        let metrics = Metrics::new().expect("names are unique");
        metrics.refresh("elsewhere", None);
        metrics.refresh("failed", None);
        assert_eq!(metrics.refreshed.get(), 0);
        metrics.refresh("unchanged", Some(0.01));
        assert!(metrics.refreshed.get() > 1_700_000_000);
    }

    #[test]
    fn a_guard_takes_its_one_back() {
        let metrics = Metrics::new().expect("names are unique");
        let gauge = || metrics.instances.with_label_values(&["orders"]).get();
        let guard = metrics.instance("orders");
        assert_eq!(gauge(), 1);
        drop(guard);
        assert_eq!(gauge(), 0);
    }
}
