//! Metrics of each group's cache.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Result};

use super::Declare;

/// Number of values of the label `result`, without `background`.
pub(crate) const RESULTS: usize = 7;

/// The metrics of one cache.
#[derive(Clone)]
pub(crate) struct CacheMetrics {
    /// Clients' requests, by what the cache did.
    pub(crate) requests: [IntCounter; RESULTS],
    /// Background requests of the proxy, which renew an answer before a client asks for it.
    pub(crate) background: IntCounter,
    /// How often all answers were forgotten.
    pub(crate) purges: IntCounter,
    /// Memory in use, in bytes.
    pub(crate) bytes: IntGauge,
    /// Number of kept answers.
    pub(crate) entries: IntGauge,
}

pub(super) struct CacheVecs {
    requests: IntCounterVec,
    purges: IntCounterVec,
    bytes: IntGaugeVec,
    entries: IntGaugeVec,
}

impl CacheVecs {
    pub(super) fn declare(declare: &Declare<'_>) -> Result<Self> {
        let labels = ["group"];
        Ok(Self {
            requests: declare.counters(
                "store_proxy_cache_requests_total",
                "Requests that could have been answered from the cache, by what it did; background: the proxy's own",
                &["group", "result"],
            )?,
            purges: declare.counters(
                "store_proxy_cache_purges_total",
                "Times that everything kept was forgotten, because a host said so or by a reload",
                &labels,
            )?,
            bytes: declare.gauges(
                "store_proxy_cache_bytes",
                "Memory that the answers kept take, about",
                &labels,
            )?,
            entries: declare.gauges("store_proxy_cache_entries", "Answers kept", &labels)?,
        })
    }

    pub(super) fn of(&self, group: &str, results: [&str; RESULTS]) -> CacheMetrics {
        let labels = [group];
        let requests = |result| self.requests.with_label_values(&[group, result]);
        CacheMetrics {
            requests: results.map(requests),
            background: requests("background"),
            purges: self.purges.with_label_values(&labels),
            bytes: self.bytes.with_label_values(&labels),
            entries: self.entries.with_label_values(&labels),
        }
    }
}
