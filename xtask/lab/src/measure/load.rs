//! The two load generators: `wrk` for as much as it goes, `oha` for latency at a fixed rate.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Command;

use xtask::setup;

/// Both programs, kept to some processors.
pub(crate) struct Loaders {
    oha: PathBuf,
    cpus: String,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    url: String,
    /// A script of wrk that makes the requests.
    script: Option<PathBuf>,
    /// oha's flags for the same requests, the URL included.
    oha: Vec<String>,
}

impl Target {
    /// The same URL again and again.
    pub(crate) fn get(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            script: None,
            oha: vec![url.to_owned()],
        }
    }

    /// What `script` and the flags of `oha` say.
    pub(crate) fn scripted(url: &str, script: PathBuf, oha: Vec<String>) -> Self {
        Self {
            url: url.to_owned(),
            script: Some(script),
            oha,
        }
    }
}

/// As much as goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flood {
    pub(crate) requests: f64,
    pub(crate) requests_per_second: f64,
}

/// At a fixed rate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Latency {
    /// Answered. Fewer than asked for: then the load generator could not keep up, or the server could not.
    pub(crate) requests_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
}

impl Loaders {
    /// Builds `oha` if it is not there. `cpus` as taskset names them.
    pub(crate) async fn find_or_install(cpus: &str) -> Result<Self> {
        Ok(Self {
            oha: setup::oha().await?,
            cpus: cpus.to_owned(),
        })
    }

    pub(crate) async fn flood(
        &self,
        target: &Target,
        connections: u32,
        seconds: u32,
    ) -> Result<Flood> {
        let (connections, duration) = (connections.to_string(), format!("{seconds}s"));
        let mut args = vec!["wrk", "--threads", "1", "--connections", &connections];
        // An answer that takes this long is an error.
        args.extend(["--timeout", "30s", "--duration", &duration]);
        let script = target
            .script
            .as_ref()
            .map(|path| path.display().to_string());
        if let Some(script) = &script {
            args.extend(["--script", script]);
        }
        args.push(&target.url);
        understand_wrk(&self.run(&args).await?)
    }

    pub(crate) async fn pace(
        &self,
        target: &Target,
        connections: u32,
        seconds: u32,
        rate: u32,
    ) -> Result<Latency> {
        let oha = self.oha.display().to_string();
        let (connections, duration) = (connections.to_string(), format!("{seconds}s"));
        let rate = rate.to_string();
        let mut args = vec![oha.as_str(), "--no-tui", "--output-format", "json"];
        // Corrected: a request that could not start in time counts as slow, and not as one not sent.
        args.extend(["--latency-correction", "-q", &rate]);
        args.extend(["-c", &connections, "-z", &duration]);
        args.extend(target.oha.iter().map(String::as_str));
        understand_oha(&self.run(&args).await?)
    }

    async fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("taskset");
        command
            .args(["--cpu-list", &self.cpus])
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
    let answers = statuses.into_iter().flatten();
    let answers: f64 = answers.filter_map(|(_, count)| count.as_f64()).sum();
    let only_good = statuses
        .is_some_and(|all| !all.is_empty() && all.keys().all(|status| status.starts_with('2')));
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
    let seconds = report["summary"]["total"].as_f64();
    Ok(Latency {
        requests_per_second: answers / seconds.context("no total in oha's report")?,
        p50_ms: milliseconds("p50")?,
        p99_ms: milliseconds("p99")?,
        p999_ms: milliseconds("p99.9")?,
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
        let said = r#"{"summary":{"total":2.0},"latencyPercentiles":{"p50":0.0005,"p99":0.002,"p99.9":0.003},
            "statusCodeDistribution":{"200":100},"errorDistribution":{"aborted due to deadline":3}}"#;
        let expected = Latency {
            requests_per_second: 50.0,
            p50_ms: 0.5,
            p99_ms: 2.0,
            p999_ms: 3.0,
        };
        assert_eq!(understand_oha(said).expect("understood"), expected);
        let refused = said.replace("aborted due to deadline", "connection refused");
        assert!(understand_oha(&refused).is_err());
    }
}
