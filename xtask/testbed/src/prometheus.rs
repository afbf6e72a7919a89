//! A private Prometheus that scrapes hosts and proxies.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::programs::require_program;

use crate::host::Host;
use crate::polling::poll_until;
use crate::ports::{again_if_port_taken, free_port};
use crate::process::Process;
use crate::proxy::Proxy;
use crate::spawner::owned_command;

/// At its start Prometheus reads back the data that it had not yet written in blocks.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The log line of a Prometheus that answers queries.
const READY: &str = "Server is ready to receive web requests";

/// How to start a [`Prometheus`].
#[derive(Clone, Debug)]
pub struct PrometheusOptions {
    /// The folder of its configuration and its data.
    pub folder: PathBuf,
    /// The file that its log is appended to.
    pub log: PathBuf,
    /// The port on 127.0.0.1; 0 picks a free one.
    pub port: u16,
    /// The seconds between two scrapes of a target, and between two evaluations of the rules.
    pub scrape_seconds: u32,
    /// The files with recording and alert rules.
    pub rules: Vec<PathBuf>,
}

/// A running `prometheus`, killed on drop.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    port: u16,
}

impl Prometheus {
    /// Starts Prometheus and waits until it answers.
    ///
    /// # Errors
    /// When Prometheus is not installed or doesn't start; the message contains the end of its log.
    pub async fn start(
        options: &PrometheusOptions,
        hosts: &[Host],
        proxies: &[Proxy],
    ) -> Result<Self> {
        fs::create_dir_all(&options.folder)
            .with_context(|| format!("creating {}", options.folder.display()))?;
        let config = options.folder.join("prometheus.yml");
        fs::write(&config, configuration(options, hosts, proxies)?)
            .with_context(|| format!("writing {}", config.display()))?;
        let start = async |port| {
            let process = start_on(options, &config, port).await?;
            Ok(Self { process, port })
        };
        match options.port {
            0 => again_if_port_taken(async || start(free_port()?).await).await,
            port => start(port).await,
        }
    }

    /// The URL of `path` (which begins with a slash).
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The process, for its id, log and name.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Stops Prometheus.
    ///
    /// # Errors
    /// When it had to be killed.
    pub async fn stop(&self) -> Result<()> {
        self.process.stop(STOP_LIMIT).await.map(drop)
    }
}

async fn start_on(options: &PrometheusOptions, config: &Path, port: u16) -> Result<Process> {
    let mut command = owned_command(require_program("prometheus")?);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            options.folder.join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        // Without this flag, Prometheus drops the exemplars that link buckets to traces.
        .arg("--enable-feature=exemplar-storage");
    let process = Process::start("Prometheus", command, &options.log, &options.log)?;
    poll_until(START_LIMIT, "Prometheus's start", async || {
        process.check_running()?;
        Ok(process.log().contains(READY).then_some(()))
    })
    .await
    .with_context(|| format!("the log is {}", options.log.display()))?;
    Ok(process)
}

/// A configuration like `loadtest/prometheus/prometheus.yml`, for these servers. JSON strings are also YAML strings.
fn configuration(options: &PrometheusOptions, hosts: &[Host], proxies: &[Proxy]) -> Result<String> {
    let seconds = options.scrape_seconds;
    let mut rules = Vec::new();
    for file in &options.rules {
        let file = std::path::absolute(file)
            .with_context(|| format!("making {} absolute", file.display()))?;
        rules.push(quoted(&file.display().to_string()));
    }
    let mut text = format!(
        "# Made by `cargo xtask`, each time anew.\n\
         global:\n  scrape_interval: {seconds}s\n  scrape_timeout: {seconds}s\n  evaluation_interval: {seconds}s\n\
         rule_files: [{}]\n\
         scrape_configs:\n",
        rules.join(", ")
    );
    let hosts: Vec<String> = hosts
        .iter()
        .map(|host| target(&host.admin_url("")))
        .collect();
    let proxies: Vec<String> = proxies
        .iter()
        .map(|proxy| target(&proxy.admin_url("")))
        .collect();
    for (job, targets) in [("store-host", hosts), ("store-proxy", proxies)] {
        let targets = targets.join(", ");
        write!(
            text,
            "  - job_name: {job}\n    static_configs: [{{ targets: [{targets}] }}]\n"
        )?;
    }
    Ok(text)
}

fn target(url: &str) -> String {
    quoted(url.trim_start_matches("http://"))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
