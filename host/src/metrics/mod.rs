//! Every metric of the host, declared once. `docs/METRICS.md` explains them to operators.
//!
//! `requests` has the metrics of requests by route, `swaps` those of changes by component, `trials` those of canaries
//! and roll-outs, `pool` those of the MySQL pools, `group` those of MySQL servers with the same data, `outbound` those
//! of components' calls to MySQL and Redis; the others are here. `history` lists those that the console charts. Nothing
//! here decides anything, and no other room declares a metric.

mod group;
mod history;
mod outbound;
mod pool;
mod requests;
mod swaps;
mod trials;

use std::sync::Arc;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use store_server::build::Build;
use store_server::metrics::{Declare, Format, registry, render, set_to_now};
use store_server::trace::SpanCounters;

pub(crate) use store_server::metrics::GaugeGuard;

use self::group::GroupFamilies;
pub(crate) use self::group::GroupMetrics;
pub(crate) use self::history::PANELS;
use self::outbound::OutboundVecs;
pub(crate) use self::outbound::{NearMetrics, Refusal};
pub(crate) use self::pool::PoolMetrics;
use self::pool::PoolVecs;
use self::requests::REQUEST_SECONDS;
pub(crate) use self::requests::{MethodMetrics, RequestMetrics, RouteMetrics};
pub(crate) use self::swaps::{GenerationRow, SwapMetrics};
pub(crate) use self::trials::{MirrorMetrics, TrialMetrics, TrialVecs};

/// All metrics of one host.
pub(crate) struct Metrics {
    registry: Registry,
    instances: IntGaugeVec,
    traps: IntCounterVec,
    log_lines_dropped: IntCounterVec,
    component_info: IntGaugeVec,
    refreshes: IntCounterVec,
    refresh_seconds: Histogram,
    refreshed: IntGauge,
    purges: IntCounterVec,
    refusals: IntCounterVec,
    outbound: OutboundVecs,
    pool: PoolVecs,
    group: GroupFamilies,
    /// Metrics of requests, by route.
    pub(crate) requests: Arc<RequestMetrics>,
    /// Metrics of swaps and generations.
    pub(crate) swaps: SwapMetrics,
    /// Metrics of canaries, mirrorings and roll-outs.
    pub(crate) trials: TrialVecs,
    /// Counters of trace spans on their way to a receiver.
    pub(crate) spans: SpanCounters,
}

impl Metrics {
    /// Declares and registers all metrics.
    ///
    /// # Errors
    /// Two metrics have the same name, which is a bug in this room.
    pub(crate) fn new() -> prometheus::Result<Arc<Self>> {
        let registry = registry()?;
        let declare = Declare::new(&registry);
        Build::this().declare(&declare, "store_build_info")?;
        let metrics = Self {
            instances: declare.gauges("store_instances", "Instances alive", &["component"])?,
            traps: declare.counters(
                "store_traps_total",
                "Instances ended by a trap or a time limit",
                &["component"],
            )?,
            log_lines_dropped: declare.counters(
                "store_log_lines_dropped_total",
                "Log lines of a component beyond those that it may write in a second",
                &["component"],
            )?,
            component_info: declare.gauges(
                "store_component_info",
                "Always 1: the SHA-256 of the component that serves",
                &["component", "digest"],
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
            outbound: OutboundVecs::declare(&declare)?,
            pool: PoolVecs::declare(&declare)?,
            group: GroupFamilies::declare(&declare)?,
            requests: Arc::new(RequestMetrics::declare(&declare)?),
            swaps: SwapMetrics::declare(&declare)?,
            trials: TrialVecs::declare(&declare)?,
            spans: SpanCounters::declare(&declare, "store_trace_spans_total")?,
            registry: registry.clone(),
        };
        metrics.announce();
        Ok(Arc::new(metrics))
    }

    /// Creates series before anything is counted, because an alert sees an increase only if there was a value before
    /// it.
    fn announce(&self) {
        for outcome in ["rebuilt", "unchanged", "elsewhere", "failed"] {
            self.refreshes.with_label_values(&[outcome]);
        }
        for result in ["done", "failed"] {
            self.purges.with_label_values(&[result]);
        }
    }

    /// All metrics in the scraper's format.
    pub(crate) fn render(&self, format: Format) -> prometheus::Result<String> {
        let timings = [self.requests.timings(), self.pool.timings()];
        render(&self.registry, &timings, format)
    }

    /// The registry of all metrics, from which the console takes samples.
    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Creates the series of a component before its first request, so that rates start at zero.
    pub(crate) fn announce_component(&self, component: &str) {
        self.instances.with_label_values(&[component]);
        self.requests.announce(component);
        self.traps.with_label_values(&[component]);
        self.log_lines_dropped(component);
        self.outbound.announce(component);
        self.swaps.announce(component);
        self.trials.announce(component);
    }

    /// Shows the digest of the component that serves, in the place of the digest `before`.
    pub(crate) fn component_serves(&self, component: &str, before: Option<&str>, digest: &str) {
        if let Some(before) = before.filter(|before| *before != digest) {
            // Removing fails only if that version never served.
            _ = self
                .component_info
                .remove_label_values(&[component, before]);
        }
        self.component_info
            .with_label_values(&[component, digest])
            .set(1);
    }

    /// Removes the digest of a component that no longer serves.
    pub(crate) fn component_left(&self, component: &str, digest: &str) {
        // Removing fails only if that version never served.
        _ = self
            .component_info
            .remove_label_values(&[component, digest]);
    }

    /// Counts an instance until the guard is dropped.
    pub(crate) fn instance(&self, component: &str) -> GaugeGuard {
        GaugeGuard::new(self.instances.with_label_values(&[component]))
    }

    pub(crate) fn trap(&self, component: &str) {
        self.traps.with_label_values(&[component]).inc();
    }

    /// The counter of one component's log lines that were dropped.
    pub(crate) fn log_lines_dropped(&self, component: &str) -> IntCounter {
        self.log_lines_dropped.with_label_values(&[component])
    }

    pub(crate) fn redis_error(&self, component: &str) {
        self.outbound.redis_error(component);
    }

    /// Counts a refused call of a component to MySQL or Redis.
    pub(crate) fn refuse_outbound(&self, component: &str, refusal: Refusal) {
        self.outbound.refuse(component, refusal);
    }

    /// The counters of one component's reads of keys that may be kept near.
    pub(crate) fn redis_near(&self, component: &str) -> NearMetrics {
        self.outbound.near(component)
    }

    /// The counter of one component's Redis scripts that were ended.
    pub(crate) fn redis_scripts_ended(&self, component: &str) -> IntCounter {
        self.outbound.scripts_ended(component)
    }

    /// Counts a refresh; `seconds` is absent if this host did not carry it out, or failed.
    pub(crate) fn refresh(&self, outcome: &str, seconds: Option<f64>) {
        self.refreshes.with_label_values(&[outcome]).inc();
        if let Some(seconds) = seconds {
            self.refresh_seconds.observe(seconds);
            set_to_now(&self.refreshed);
        }
    }

    /// Creates the series of a refusal's reason before it is counted.
    pub(crate) fn announce_refusal(&self, reason: &str) {
        self.refusals.with_label_values(&[reason]);
    }

    /// Counts a refused request or connection.
    pub(crate) fn refused(&self, reason: &str) {
        self.refusals.with_label_values(&[reason]).inc();
    }

    /// Counts a proxy that was told to purge its cache, or could not be told.
    pub(crate) fn purge(&self, result: &str) {
        self.purges.with_label_values(&[result]).inc();
    }

    /// The metrics of one component's pools.
    pub(crate) fn mysql_pool(&self, component: &str) -> PoolMetrics {
        self.pool.of(component)
    }

    /// The metrics of the MySQL servers that hold the same data, in the database with this name.
    pub(crate) fn mysql_group(&self, database: &str, members: Vec<String>) -> GroupMetrics {
        self.group.of(database, members)
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
}
