//! Requests at a fixed rate, sent by `oha`. It sends on time even if answers are late, and times each request from the
//! moment at which it was due.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::process::{Child, Command};

use super::{STREAMS, StreamResult, Target};

/// Requests of one kind, until stopped. They end with this process.
pub(crate) struct Stream {
    name: &'static str,
    oha: Child,
}

impl Stream {
    /// Runs `command` with oha's arguments added: `rate` requests per second over `connections` connections. It ends by
    /// itself after `longest`.
    pub(super) fn start(
        mut command: Command,
        name: &'static str,
        target: &Target,
        connections: u32,
        rate: u32,
        longest: Duration,
    ) -> Result<Self> {
        let longest = format!("{}ms", longest.as_millis());
        // With the correction, a request that could not start on time counts as slow instead of as not sent.
        command.args(["--latency-correction", "-q", &rate.to_string()]);
        command.args(["-z", &longest]);
        Self::spawn(command, name, target, connections)
    }

    /// Runs `command` with oha's arguments added: `requests` requests, as fast as they are answered.
    pub(super) fn asking(
        mut command: Command,
        target: &Target,
        connections: u32,
        requests: u32,
    ) -> Result<Self> {
        command.args(["-n", &requests.to_string()]);
        Self::spawn(command, "all", target, connections)
    }

    /// Starts oha. Over HTTP/2, `connections` is the number of concurrent requests.
    fn spawn(
        mut command: Command,
        name: &'static str,
        target: &Target,
        connections: u32,
    ) -> Result<Self> {
        let (connections, streams) = match target.http2 {
            true => (connections.div_ceil(STREAMS), STREAMS),
            false => (connections, 1),
        };
        let oha = command
            .args(["--no-tui", "--output-format", "json"])
            .args(["-c", &connections.to_string(), "-p", &streams.to_string()])
            .args(&target.oha)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting oha")?;
        Ok(Self { name, oha })
    }

    /// Ends these streams at the same time, and reads their results.
    pub(crate) async fn stop_all(
        streams: impl IntoIterator<Item = Self>,
    ) -> Result<Vec<StreamResult>> {
        let streams: Vec<Self> = streams.into_iter().collect();
        for stream in &streams {
            stream.interrupt()?;
        }
        let mut measured = Vec::new();
        for stream in streams {
            measured.push(stream.measured().await?);
        }
        Ok(measured)
    }

    /// Asks oha to end; [`Stream::measured`] waits for the end.
    fn interrupt(&self) -> Result<()> {
        let id = self.oha.id().context("oha has ended by itself")?;
        let id = i32::try_from(id).context("a process id is a positive i32")?;
        kill(Pid::from_raw(id), Signal::SIGINT).context("ending oha")
    }

    /// Waits for oha's end, and reads its results.
    pub(super) async fn measured(self) -> Result<StreamResult> {
        let output = self.oha.wait_with_output().await;
        let output = output.context("waiting for oha")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "oha failed: {}", said.trim());
        let result = serde_json::from_slice(&output.stdout);
        let result: Output = result.context("reading what oha measured")?;
        Ok(result.measured(self.name))
    }
}

/// The part of oha's output that we read; times are in seconds.
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
    total: f64,
    slowest: Option<f64>,
}

impl Output {
    fn measured(self, stream: &'static str) -> StreamResult {
        let ms = |seconds: Option<f64>| seconds.map_or(f64::NAN, |seconds| seconds * 1000.0);
        let percentile = |name| ms(self.latency_percentiles.get(name).copied().flatten());
        let (p50_ms, p99_ms, p999_ms) = (percentile("p50"), percentile("p99"), percentile("p99.9"));
        let statuses = self.status_code_distribution.into_iter();
        let (good, bad): (Vec<_>, Vec<_>) =
            statuses.partition(|(status, _)| status.starts_with('2'));
        let answered: u64 = good.iter().map(|(_, count)| count).sum();
        let mut failed = self.error_distribution;
        failed.extend(bad);
        StreamResult {
            stream,
            requests: answered + failed.values().sum::<u64>(),
            requests_per_second: answered as f64 / self.summary.total,
            failed,
            p50_ms,
            p99_ms,
            p999_ms,
            max_ms: ms(self.summary.slowest),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn measured(said: Value) -> StreamResult {
        let output: Output = serde_json::from_value(said).expect("oha's form");
        output.measured("reads")
    }

    #[test]
    fn whatever_is_not_2xx_has_failed() {
        let measured = measured(json!({
            "summary": {"total": 2.0, "slowest": 0.5},
            "latencyPercentiles": {"p50": 0.001, "p99": 0.0025, "p99.9": 0.003},
            "statusCodeDistribution": {"200": 90, "201": 5, "404": 2, "503": 1},
            "errorDistribution": {"connection closed": 3},
        }));
        assert_eq!(measured.requests, 101);
        assert_eq!(measured.requests_per_second, 47.5);
        assert_eq!(measured.failed.values().sum::<u64>(), 6);
        assert_eq!((measured.p50_ms, measured.p99_ms), (1.0, 2.5));
        assert_eq!((measured.p999_ms, measured.max_ms), (3.0, 500.0));
        assert!(measured.without_failures().is_err());
    }

    #[test]
    fn what_was_under_way_at_the_end_is_no_failure() {
        let said = json!({
            "summary": {"total": 2.0, "slowest": 0.5},
            "latencyPercentiles": {"p50": 0.0005, "p99": 0.002, "p99.9": 0.003},
            "statusCodeDistribution": {"200": 100},
            "errorDistribution": {"aborted due to deadline": 3},
        });
        let good = measured(said.clone()).without_failures().expect("good");
        assert_eq!(good.requests_per_second, 50.0);
        let mut nothing = said;
        nothing["statusCodeDistribution"] = json!({});
        nothing["latencyPercentiles"] = json!({"p50": null});
        assert!(measured(nothing).without_failures().is_err());
    }
}
