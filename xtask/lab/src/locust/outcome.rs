//! What a run measured, as `loadtest/shop/results.py` writes it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What a run measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Outcome {
    /// One for each route that was asked, in the order of their names.
    pub(crate) routes: Vec<Figures>,
    /// All routes together; its name is `Aggregated`.
    pub(crate) total: Figures,
    pub(crate) failures: Vec<Failure>,
    /// Mistakes in our own locustfiles.
    pub(crate) exceptions: Vec<Exception>,
}

/// What was measured of one route. Above 100 ms, Locust keeps two digits of a time.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    /// `POST /orders`, `GET /orders/{order_id}` and so on.
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
    /// `503: …` with the answer's own words, or what was wrong with an answer, or why there was none.
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
    /// When it isn't there, or not whole.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("reading {}", file.display()))
    }
}
