//! The results of one stream of requests.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::Serialize;

/// The results of a stream. Times are `NaN` if nothing was answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StreamResult {
    pub(crate) stream: &'static str,
    pub(crate) requests: u64,
    /// The answers with 2xx per second. If they are fewer than requested, the generator or the server could not keep
    /// up.
    pub(crate) requests_per_second: f64,
    /// The number of answers other than 2xx, by status, and of requests without an answer, by reason.
    pub(crate) failed: BTreeMap<String, u64>,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl StreamResult {
    /// Fails if there were failures. Requests in flight at the end of oha's own time limit don't count as failures.
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
