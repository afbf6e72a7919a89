//! A fixed rate of requests, sent by `oha` on time even when answers are late, and timed from when they were due.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::process::{Child, Command};

/// Connections of each stream: more than are ever busy at once, so that none waits for another.
const CONNECTIONS: &str = "64";

/// Requests of one kind, until stopped. They end with this process.
pub(crate) struct Stream {
    name: &'static str,
    oha: Child,
}

/// What a stream measured.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) stream: &'static str,
    pub(crate) requests: u64,
    /// Answers other than 2xx, by status, and requests without an answer, by reason.
    pub(crate) failed: BTreeMap<String, u64>,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Stream {
    /// Begins `rate` requests a second; `what` are oha's arguments that say which. It ends by itself after `longest`.
    pub(crate) fn start(
        oha: &Path,
        name: &'static str,
        rate: u32,
        longest: Duration,
        what: &[&str],
    ) -> Result<Self> {
        let longest = format!("{}ms", longest.as_millis());
        let oha = Command::new(oha)
            .args([
                "--no-tui",
                "--output-format",
                "json",
                "--latency-correction",
            ])
            .args(["-q", &rate.to_string(), "-z", &longest, "-c", CONNECTIONS])
            .args(what)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting oha")?;
        Ok(Self { name, oha })
    }

    /// Asks it to end; [`Stream::measured`] waits for that.
    pub(crate) fn interrupt(&self) -> Result<()> {
        let id = self.oha.id().context("oha has ended by itself")?;
        let id = i32::try_from(id).context("a process id is a positive i32")?;
        kill(Pid::from_raw(id), Signal::SIGINT).context("ending oha")
    }

    /// Waits for its end, and reads what it measured.
    pub(crate) async fn measured(self) -> Result<Measured> {
        let output = self.oha.wait_with_output().await;
        let output = output.context("waiting for oha")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "oha failed: {}", said.trim());
        let result = serde_json::from_slice(&output.stdout);
        let result: Output = result.context("reading what oha measured")?;
        Ok(result.measured(self.name))
    }
}

/// What of oha's output we read; times are in seconds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    summary: Summary,
    latency_percentiles: BTreeMap<String, Option<f64>>,
    status_code_distribution: BTreeMap<String, u64>,
    error_distribution: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Summary {
    slowest: Option<f64>,
}

impl Output {
    fn measured(self, stream: &'static str) -> Measured {
        let percentile = |name| self.latency_percentiles.get(name).copied().flatten();
        let ms = |name| percentile(name).map_or(f64::NAN, |seconds| seconds * 1000.0);
        let (p50_ms, p99_ms) = (ms("p50"), ms("p99"));
        let answered: u64 = self.status_code_distribution.values().sum();
        let lost: u64 = self.error_distribution.values().sum();
        let mut failed = self.error_distribution;
        let statuses = self.status_code_distribution.into_iter();
        failed.extend(statuses.filter(|(status, _)| !status.starts_with('2')));
        Measured {
            stream,
            requests: answered + lost,
            failed,
            p50_ms,
            p99_ms,
            max_ms: self
                .summary
                .slowest
                .map_or(f64::NAN, |seconds| seconds * 1000.0),
        }
    }
}

/// Numbers that look random and are the same each time (Vigna's splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// From 1 to `limit`.
    pub(crate) fn up_to(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        1 + (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_2xx_has_failed() {
        let output: Output = serde_json::from_value(serde_json::json!({
            "summary": {"slowest": 0.5},
            "latencyPercentiles": {"p50": 0.001, "p99": 0.0025},
            "statusCodeDistribution": {"200": 90, "201": 5, "404": 2, "503": 1},
            "errorDistribution": {"connection closed": 3},
        }))
        .expect("oha's form");
        let measured = output.measured("reads");
        assert_eq!(measured.requests, 101);
        assert_eq!(measured.failed.values().sum::<u64>(), 6);
        assert_eq!(
            (measured.p50_ms, measured.p99_ms, measured.max_ms),
            (1.0, 2.5, 500.0)
        );
    }

    #[test]
    fn numbers_are_within_their_limit_and_spread() {
        let mut numbers = Numbers(42);
        let drawn: Vec<u64> = (0..1000).map(|_| numbers.up_to(10)).collect();
        assert!((1..=10).all(|number| drawn.iter().filter(|n| **n == number).count() > 50));
        assert!(drawn.iter().all(|number| (1..=10).contains(number)));
    }
}
