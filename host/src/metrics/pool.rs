//! Metrics of each component's MySQL connection pools.

use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use store_server::metrics::{Timing, Timings};
use store_server::trace::Span;

use super::{Declare, GaugeGuard};

/// The bucket bounds of the wait for a pooled connection, in seconds: from no wait to the usual limit of 2 s.
const WAIT_SECONDS: [f64; 8] = [0.0001, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

pub(super) struct PoolVecs {
    size: IntGaugeVec,
    in_use: IntGaugeVec,
    idle: IntGaugeVec,
    waiting: IntGaugeVec,
    wait_seconds: Timings,
    timeouts: IntCounterVec,
    opened: IntCounterVec,
    statements: IntCounterVec,
    repeated: IntCounterVec,
    stale_reads: IntCounterVec,
}

impl PoolVecs {
    pub(super) fn declare(declare: &Declare<'_>) -> prometheus::Result<Self> {
        let labels = ["component"];
        Ok(Self {
            size: declare.gauges(
                "store_mysql_pool_size",
                "Most connections the pool may open",
                &labels,
            )?,
            in_use: declare.gauges(
                "store_mysql_pool_in_use",
                "Connections held by requests",
                &labels,
            )?,
            idle: declare.gauges(
                "store_mysql_pool_idle",
                "Open connections that nobody holds",
                &labels,
            )?,
            waiting: declare.gauges(
                "store_mysql_pool_waiting",
                "Requests waiting for a connection",
                &labels,
            )?,
            wait_seconds: declare.timings(
                "store_mysql_pool_wait_seconds",
                "Time from asking for a connection to having one",
                &WAIT_SECONDS,
                &labels,
            )?,
            timeouts: declare.counters(
                "store_mysql_pool_timeouts_total",
                "Waits that reached the limit",
                &labels,
            )?,
            opened: declare.counters(
                "store_mysql_connections_opened_total",
                "Connections opened",
                &labels,
            )?,
            statements: declare.counters(
                "store_mysql_statements_total",
                "Statements run for components",
                &labels,
            )?,
            repeated: declare.counters(
                "store_mysql_statements_repeated_total",
                "Reads sent again on a new connection because theirs had been closed",
                &labels,
            )?,
            stale_reads: declare.counters(
                "store_mysql_stale_reads_total",
                "Reads sent to a member of --mysql-members that is not the writer, while there was none",
                &labels,
            )?,
        })
    }

    /// The histograms with exemplars.
    pub(super) fn timings(&self) -> &Timings {
        &self.wait_seconds
    }

    /// The metrics of one component's pools.
    pub(super) fn of(&self, component: &str) -> PoolMetrics {
        let labels = [component];
        PoolMetrics {
            size: self.size.with_label_values(&labels),
            in_use: self.in_use.with_label_values(&labels),
            idle: self.idle.with_label_values(&labels),
            waiting: self.waiting.with_label_values(&labels),
            wait_seconds: self.wait_seconds.of(&labels),
            timeouts: self.timeouts.with_label_values(&labels),
            opened: self.opened.with_label_values(&labels),
            statements: self.statements.with_label_values(&labels),
            repeated: self.repeated.with_label_values(&labels),
            stale_reads: self.stale_reads.with_label_values(&labels),
        }
    }
}

/// The metrics of one component's pools.
#[derive(Clone)]
pub(crate) struct PoolMetrics {
    pub(crate) size: IntGauge,
    in_use: IntGauge,
    pub(crate) idle: IntGauge,
    waiting: IntGauge,
    wait_seconds: Timing,
    pub(crate) timeouts: IntCounter,
    pub(crate) opened: IntCounter,
    pub(crate) statements: IntCounter,
    pub(crate) repeated: IntCounter,
    pub(crate) stale_reads: IntCounter,
}

impl PoolMetrics {
    /// Counts a connection as in use until the guard is dropped.
    pub(crate) fn enter(&self) -> GaugeGuard {
        GaugeGuard::new(self.in_use.clone())
    }

    /// Counts a wait for a connection that took so long and ended with one. `span` is its span.
    pub(crate) fn waited(&self, took: Duration, span: &Span) {
        span.measure(&self.wait_seconds, took);
    }

    /// Counts a request as waiting for a connection until the guard is dropped.
    pub(crate) fn wait(&self) -> GaugeGuard {
        GaugeGuard::new(self.waiting.clone())
    }
}
