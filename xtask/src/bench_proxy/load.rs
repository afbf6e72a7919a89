//! The two load generators: `wrk` for as much as it goes, `oha` for latency at a fixed rate.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use testbed::find_program;
use tokio::process::Command;

use crate::cargo::{cargo, run_step};
use crate::paths;

/// Both programs.
pub(super) struct Loaders {
    oha: PathBuf,
}

/// As much as goes.
#[derive(Debug, PartialEq)]
pub(super) struct Flood {
    pub(super) requests: f64,
    pub(super) requests_per_second: f64,
}

/// At a fixed rate.
#[derive(Debug, PartialEq)]
pub(super) struct Latency {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl Loaders {
    /// `oha` comes from crates, not from Debian: built once, under `target/`.
    pub(super) async fn find_or_install() -> Result<Self> {
        let folder = paths::target().join("tools");
        let own = folder.join("bin/oha");
        if let Some(oha) = find_program("oha").or_else(|| own.is_file().then(|| own.clone())) {
            return Ok(Self { oha });
        }
        let mut install = cargo(["install", "oha", "--locked", "--no-default-features"]);
        install
            .args(["--features", "rustls", "--root"])
            .arg(&folder)
            .env("CARGO_TARGET_DIR", folder.join("build"));
        run_step("install oha", install).await?;
        Ok(Self { oha: own })
    }

    pub(super) async fn flood(
        &self,
        url: &str,
        connections: u32,
        seconds: u32,
        cpus: &str,
    ) -> Result<Flood> {
        let (connections, duration) = (connections.to_string(), format!("{seconds}s"));
        let args = [
            "wrk",
            "--threads",
            "1",
            "--connections",
            &connections,
            "--duration",
            &duration,
            url,
        ];
        let said = on_cpus(cpus, &args).await?;
        understand_wrk(&said)
    }

    pub(super) async fn pace(
        &self,
        url: &str,
        connections: u32,
        seconds: u32,
        rate: u32,
        cpus: &str,
    ) -> Result<Latency> {
        let oha = self.oha.display().to_string();
        let (connections, duration) = (connections.to_string(), format!("{seconds}s"));
        let rate = rate.to_string();
        // Corrected: a request that could not start in time counts as slow, and not as one not sent.
        let args = [
            &oha,
            "--no-tui",
            "--output-format",
            "json",
            "--latency-correction",
            "-q",
            &rate,
            "-c",
            &connections,
            "-z",
            &duration,
            url,
        ];
        let said = on_cpus(cpus, &args).await?;
        understand_oha(&said)
    }
}

async fn on_cpus(cpus: &str, args: &[&str]) -> Result<String> {
    let mut command = Command::new("taskset");
    command
        .args(["--cpu-list", cpus])
        .args(args)
        .kill_on_drop(true);
    let program = args.first().copied().unwrap_or_default();
    let output = command
        .output()
        .await
        .with_context(|| format!("running {program}"))?;
    ensure!(
        output.status.success(),
        "{program} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads what wrk prints. An error makes the numbers worthless.
fn understand_wrk(said: &str) -> Result<Flood> {
    if let Some(errors) = said
        .lines()
        .find(|line| line.contains("Non-2xx") || line.contains("Socket errors"))
    {
        bail!("wrk: {}", errors.trim());
    }
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<f64>().ok());
    let requests = said
        .lines()
        .find_map(|line| line.split_once(" requests in "));
    let rate = said
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(Flood {
        requests: number(requests.map(|(count, _)| count))
            .context("no requests in wrk's report")?,
        requests_per_second: number(rate).context("no rate in wrk's report")?,
    })
}

/// Reads oha's JSON. An error makes the numbers worthless.
fn understand_oha(said: &str) -> Result<Latency> {
    let report: Value = serde_json::from_str(said).context("reading oha's report")?;
    let statuses = report["statusCodeDistribution"].as_object();
    let only_good = statuses.is_some_and(|all| all.len() == 1 && all.contains_key("200"));
    // Requests still under way when the time is over are no errors.
    let errors = report["errorDistribution"].as_object();
    let errors = errors
        .into_iter()
        .flatten()
        .find(|(name, _)| !name.contains("deadline"));
    ensure!(
        only_good && errors.is_none(),
        "oha: {statuses:?}, {errors:?}"
    );
    let milliseconds = |name: &str| {
        let seconds = report["latencyPercentiles"][name].as_f64();
        seconds
            .map(|s| s * 1000.0)
            .with_context(|| format!("no {name} in oha's report"))
    };
    Ok(Latency {
        p50_ms: milliseconds("p50")?,
        p99_ms: milliseconds("p99")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_wrk_is_understood() {
        let said = "Running 5s test @ http://x\n  1 threads and 64 connections\n  \
                    62710 requests in 5.01s, 12.50MB read\nRequests/sec:  12517.96\nTransfer/sec: 2.5MB\n";
        let flood = understand_wrk(said).expect("understood");
        assert_eq!(
            (flood.requests, flood.requests_per_second),
            (62_710.0, 12_517.96)
        );
        let bad = format!("{said}  Non-2xx or 3xx responses: 7\n");
        assert!(understand_wrk(&bad).is_err());
    }

    #[test]
    fn the_report_of_oha_is_understood() {
        let said = r#"{"latencyPercentiles":{"p50":0.0005,"p99":0.002},
            "statusCodeDistribution":{"200":100},"errorDistribution":{"aborted due to deadline":3}}"#;
        let expected = Latency {
            p50_ms: 0.5,
            p99_ms: 2.0,
        };
        assert_eq!(understand_oha(said).expect("understood"), expected);
        let refused = said.replace("aborted due to deadline", "connection refused");
        assert!(understand_oha(&refused).is_err());
    }
}
