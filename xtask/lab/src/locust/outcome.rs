//! The results of a run, as `loadtest/shop/results.py` writes them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The results of a run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Outcome {
    /// One entry for each route with requests, sorted by name.
    pub(crate) routes: Vec<Figures>,
    /// The sum of all routes; its name is `Aggregated`.
    pub(crate) total: Figures,
    pub(crate) failures: Vec<Failure>,
    /// Errors in our own locustfiles.
    pub(crate) exceptions: Vec<Exception>,
}

/// The figures of one route. Locust keeps two digits of times above 100 ms.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    /// `POST /orders`, `GET /orders/{order_id}` and the like.
    pub(crate) name: String,
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) average_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// Requests that failed for the same reason.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Failure {
    pub(crate) name: String,
    /// `503: …` followed by the answer's own message, or what was wrong with an answer, or why there was no answer.
    pub(crate) error: String,
    pub(crate) occurrences: u64,
}

/// A Python exception outside of requests.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Exception {
    pub(crate) message: String,
    pub(crate) occurrences: u64,
}

impl Outcome {
    /// Reads `summary.json`.
    ///
    /// # Errors
    /// When the file doesn't exist or is incomplete.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("reading {}", file.display()))
    }
}
