//! A sample of one balancer in one round of a row.

use anyhow::Result;
use serde::Serialize;

use super::Options;
use super::row::Row;
use super::servers::Balancer;
use crate::measure::{Loaders, Target};

/// The figures under load.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sample {
    pub(super) requests_per_second: f64,
    pub(super) cpu_seconds_per_100k: f64,
    /// The number of busy processors at full load.
    pub(super) cpu_busy: f64,
    /// The rate of the latency measurement in requests per second, and the answers per second.
    pub(super) rate: u32,
    pub(super) answered_per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// The 99th percentile of the load generator's own delay, which the latency contains.
    pub(super) late_p99_ms: f64,
    /// Why the latency says little about the balancer; `None` if it says something.
    pub(super) unclear: Option<&'static str>,
    pub(super) memory_kib: u64,
}

impl Sample {
    /// Floods the balancer, then sends requests at a fixed rate.
    ///
    /// # Errors
    /// If a request fails.
    pub(super) async fn take(
        options: &Options,
        loaders: &Loaders,
        balancer: &Balancer,
        row: Row,
        target: &Target,
    ) -> Result<Self> {
        let (connections, seconds) = (options.connections, options.seconds);
        // Connections and caches are warmed before the measurement.
        loaders.flood(target, connections, 1).await?;
        let before = balancer.cpu_seconds()?;
        let flood = loaders.flood(target, connections, seconds).await?;
        let cpu_seconds = balancer.cpu_seconds()? - before;
        let memory_kib = balancer.memory_kib()?;
        let rate = options.rate.unwrap_or(row.rate());
        let latency = loaders.pace(target, connections, seconds, rate).await?;
        Ok(Self {
            requests_per_second: flood.requests_per_second,
            cpu_seconds_per_100k: cpu_seconds / flood.requests * 100_000.0,
            cpu_busy: cpu_seconds / f64::from(seconds),
            rate,
            answered_per_second: latency.requests_per_second,
            p50_ms: latency.p50_ms,
            p99_ms: latency.p99_ms,
            late_p99_ms: latency.late_p99_ms,
            unclear: latency.unclear(rate),
            memory_kib,
        })
    }
}
