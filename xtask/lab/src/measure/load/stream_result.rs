//! What became of the requests of one stream.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::Serialize;

/// What a stream measured. Times are `NaN` where nothing was answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StreamResult {
    pub(crate) stream: &'static str,
    pub(crate) requests: u64,
    /// Answered with 2xx, each second. Fewer than asked for: then the generator could not keep up, or the server could
    /// not.
    pub(crate) requests_per_second: f64,
    /// Answers other than 2xx, by status, and requests without an answer, by reason.
    pub(crate) failed: BTreeMap<String, u64>,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl StreamResult {
    /// Refuses what had failures. Requests still under way when oha's own time was over are none.
    pub(super) fn without_failures(self) -> Result<Self> {
        let failures: Vec<_> = self
            .failed
            .iter()
            .filter(|(what, _)| !what.contains("deadline"))
            .collect();
        ensure!(failures.is_empty(), "oha: {failures:?}");
        ensure!(self.p50_ms.is_finite(), "oha: nothing was answered");
        Ok(self)
    }
}
