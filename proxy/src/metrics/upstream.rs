//! Metrics of each upstream and each group. Series are looked up once, so that a request costs a few atomic additions.

use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Result};
use store_server::metrics::{Timing, Timings};

use super::Declare;

/// Buckets in seconds: the proxy adds tens of microseconds, and an upstream may take up to its 35 seconds.
const SECONDS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// Values of the label `status`.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "error"];

/// The index of a status in the arrays of counters.
pub(crate) fn class(status: u16) -> usize {
    match status {
        100..600 => usize::from(status / 100) - 1,
        _ => ERROR,
    }
}

/// The index of requests that ended without a status, because the upstream broke off or the client left.
pub(crate) const ERROR: usize = 5;

/// The metrics of one upstream.
#[derive(Clone)]
pub(crate) struct UpstreamMetrics {
    /// Tries, by the class of the answer; see [`class`].
    pub(crate) requests: [IntCounter; 6],
    /// Duration of one try in seconds.
    pub(crate) duration: Timing,
    /// Number of tries that are not over.
    pub(crate) in_flight: IntGauge,
    /// 1 if requests are sent to the upstream, else 0.
    pub(crate) healthy: IntGauge,
    /// How often the upstream was ejected.
    pub(crate) ejections: IntCounter,
    /// Number of new connections.
    pub(crate) connects: IntCounter,
    /// Connections whose TLS handshake failed because a certificate was not accepted.
    pub(crate) tls_failures: IntCounter,
    /// Number of requests that wait for a permit.
    pub(crate) queued: IntGauge,
}

/// The metrics of one group, from its clients' point of view.
#[derive(Clone)]
pub(crate) struct GroupMetrics {
    /// Requests, by the class of the answer; see [`class`].
    pub(crate) requests: [IntCounter; 6],
    /// Seconds from a request's complete head to the end of its answer.
    pub(crate) duration: Timing,
    /// Retries because no connection could be made.
    pub(crate) retries_connect: IntCounter,
    /// Retries because a connection broke after the request was sent.
    pub(crate) retries_broken: IntCounter,
    /// Retries because no answer came in time.
    pub(crate) retries_timeout: IntCounter,
    /// Retries that the budget did not allow.
    pub(crate) retry_budget_exhausted: IntCounter,
    /// Requests answered 503 because no upstream could take them.
    pub(crate) no_upstream: IntCounter,
    /// Requests answered 503 because too many others' bodies were still coming.
    pub(crate) uploads_refused: IntCounter,
}

pub(super) struct UpstreamVecs {
    requests: IntCounterVec,
    duration: Timings,
    in_flight: IntGaugeVec,
    healthy: IntGaugeVec,
    ejections: IntCounterVec,
    connects: IntCounterVec,
    tls_failures: IntCounterVec,
    queued: IntGaugeVec,
    info: IntGaugeVec,
}

impl UpstreamVecs {
    pub(super) fn declare(declare: &Declare<'_>) -> Result<Self> {
        let labels = ["group", "upstream"];
        Ok(Self {
            requests: declare.counters(
                "store_proxy_upstream_requests_total",
                "Tries by the class of the upstream's answer; error when there was none",
                &["group", "upstream", "status"],
            )?,
            duration: declare.timings(
                "store_proxy_upstream_duration_seconds",
                "Time of one try, from picking the upstream to the end of its answer",
                &SECONDS,
                &labels,
            )?,
            in_flight: declare.gauges(
                "store_proxy_upstream_in_flight",
                "Tries that are not over",
                &labels,
            )?,
            healthy: declare.gauges(
                "store_proxy_upstream_healthy",
                "1 when requests are sent there, 0 when it is down, ejected or drained",
                &labels,
            )?,
            ejections: declare.counters(
                "store_proxy_upstream_ejections_total",
                "Times the upstream was left out for failing requests",
                &labels,
            )?,
            connects: declare.counters(
                "store_proxy_upstream_connects_total",
                "New connections to the upstream",
                &labels,
            )?,
            tls_failures: declare.counters(
                "store_proxy_upstream_tls_failures_total",
                "Connections to the upstream given up in the TLS handshake: a certificate that is not accepted",
                &labels,
            )?,
            queued: declare.gauges(
                "store_proxy_upstream_queued",
                "Requests waiting for one of the upstream's connections",
                &labels,
            )?,
            info: declare.gauges(
                "store_proxy_upstream_info",
                "1; the name in the configuration that the upstream was found by",
                &["group", "upstream", "name"],
            )?,
        })
    }

    /// The histograms with exemplars.
    pub(super) fn timings(&self) -> &Timings {
        &self.duration
    }

    pub(super) fn of(&self, group: &str, address: &str, name: Option<&str>) -> UpstreamMetrics {
        let labels = [group, address];
        if let Some(name) = name {
            let info = [group, address, name];
            self.info.with_label_values(&info).set(1);
        }
        UpstreamMetrics {
            requests: CLASSES
                .map(|status| self.requests.with_label_values(&[group, address, status])),
            duration: self.duration.of(&labels),
            in_flight: self.in_flight.with_label_values(&labels),
            healthy: self.healthy.with_label_values(&labels),
            ejections: self.ejections.with_label_values(&labels),
            connects: self.connects.with_label_values(&labels),
            tls_failures: self.tls_failures.with_label_values(&labels),
            queued: self.queued.with_label_values(&labels),
        }
    }

    pub(super) fn forget(&self, group: &str, address: &str) {
        let labels = [group, address];
        for status in CLASSES {
            forget(&self.requests, &[group, address, status]);
        }
        self.duration.forget(&labels);
        forget(&self.in_flight, &labels);
        forget(&self.healthy, &labels);
        forget(&self.ejections, &labels);
        forget(&self.connects, &labels);
        forget(&self.tls_failures, &labels);
        forget(&self.queued, &labels);
    }

    pub(super) fn forget_name(&self, group: &str, address: &str, name: &str) {
        forget(&self.info, &[group, address, name]);
    }
}

/// Removes a series. If the series does not exist, nothing happens.
pub(super) fn forget<B: MetricVecBuilder>(series: &MetricVec<B>, labels: &[&str]) {
    _ = series.remove_label_values(labels);
}

pub(super) struct GroupVecs {
    requests: IntCounterVec,
    duration: Timings,
    retries: IntCounterVec,
    retry_budget_exhausted: IntCounterVec,
    no_upstream: IntCounterVec,
    uploads_refused: IntCounterVec,
}

impl GroupVecs {
    pub(super) fn declare(declare: &Declare<'_>) -> Result<Self> {
        let labels = ["group"];
        Ok(Self {
            requests: declare.counters(
                "http_requests_total",
                "Requests by the class of the answer; error when the client got none",
                &["group", "status"],
            )?,
            duration: declare.timings(
                "http_request_duration_seconds",
                "Time from a request's head to the end of its answer",
                &SECONDS,
                &labels,
            )?,
            retries: declare.counters(
                "store_proxy_retries_total",
                "Further tries: no connection, broken after sending, or no answer in time",
                &["group", "reason"],
            )?,
            retry_budget_exhausted: declare.counters(
                "store_proxy_retry_budget_exhausted_total",
                "Retries not made because there had been too many",
                &labels,
            )?,
            no_upstream: declare.counters(
                "store_proxy_no_upstream_total",
                "Requests that no upstream could take: all down, or all full",
                &labels,
            )?,
            uploads_refused: declare.counters(
                "store_proxy_uploads_refused_total",
                "Requests refused because as many others' bodies were still coming as may",
                &labels,
            )?,
        })
    }

    /// The histograms with exemplars.
    pub(super) fn timings(&self) -> &Timings {
        &self.duration
    }

    pub(super) fn of(&self, group: &str) -> GroupMetrics {
        let labels = [group];
        let retries = |reason| self.retries.with_label_values(&[group, reason]);
        GroupMetrics {
            requests: CLASSES.map(|status| self.requests.with_label_values(&[group, status])),
            duration: self.duration.of(&labels),
            retries_connect: retries("connect"),
            retries_broken: retries("broken"),
            retries_timeout: retries("timeout"),
            retry_budget_exhausted: self.retry_budget_exhausted.with_label_values(&labels),
            no_upstream: self.no_upstream.with_label_values(&labels),
            uploads_refused: self.uploads_refused.with_label_values(&labels),
        }
    }
}
