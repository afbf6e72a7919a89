//! A Redis Sentinel, which watches a primary and its replicas and promotes a replica when the primary dies.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::programs::require_program;

use crate::account::Account;
use crate::polling::poll_until;
use crate::ports::{start_on_own_port, start_on_some_port};
use crate::process::Process;
use crate::redis_server::answers_as;
use crate::redis_tls::{RedisTls, TlsFiles};
use crate::seat::Seat;

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How to start a [`Sentinel`].
#[derive(Clone, Debug)]
pub struct SentinelOptions {
    /// The Sentinel's own folder, for its state and its log.
    pub folder: PathBuf,
    /// The network location that the Sentinel listens in.
    pub seat: Seat,
    /// The name of the primary.
    pub name: String,
    /// The first address of the primary, as `host:port`.
    pub primary: String,
    /// How many Sentinels must find the primary dead.
    pub quorum: u32,
    /// How long a server must be silent until the Sentinel finds it dead.
    pub silence: Duration,
    /// TLS on a port beside the usual one, if the Sentinel speaks it. It then speaks it to the servers too.
    pub tls: Option<TlsFiles>,
}

/// A running `redis-server --sentinel`, killed on drop.
#[derive(Debug)]
pub struct Sentinel {
    options: SentinelOptions,
    account: Account,
    port: u16,
    tls: Option<RedisTls>,
    /// `None` while stopped.
    process: Option<Process>,
}

impl Sentinel {
    /// Starts the Sentinel and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed or doesn't start; the message contains the end of its log.
    pub async fn start(options: SentinelOptions) -> Result<Self> {
        let account = Account::of_server("Sentinel", &options.folder)?;
        let start = |port| start_first(&options, account, port);
        let (port, (tls, process)) = start_on_some_port(&options.folder, start).await?;
        Ok(Self {
            options,
            account,
            port,
            tls,
            process: Some(process),
        })
    }

    /// The Sentinel's address, as `host:port`.
    pub fn address(&self) -> String {
        self.options.seat.port(self.port).to_string()
    }

    /// The port for TLS, if the Sentinel has one.
    pub fn tls_port(&self) -> Option<u16> {
        self.tls.as_ref().map(|tls| tls.port)
    }

    /// The server process, unless stopped.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Kills the Sentinel. This simulates a crash.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Shuts the Sentinel down cleanly.
    ///
    /// # Errors
    /// When it had to be killed.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.stop(STOP_LIMIT).await?;
        }
        Ok(())
    }

    /// Starts the Sentinel again, with its old state, unless it runs.
    ///
    /// # Errors
    /// When it doesn't start within the time limit.
    pub async fn start_again(&mut self) -> Result<()> {
        if self.process.is_none() {
            let tls = self.tls.as_ref();
            let start = |port| start_on(&self.options, self.account, port, tls);
            self.process = Some(start_on_own_port(self.port, start).await?);
        }
        Ok(())
    }
}

/// Starts the Sentinel with TLS on a free port, if it speaks TLS.
async fn start_first(
    options: &SentinelOptions,
    account: Account,
    port: u16,
) -> Result<(Option<RedisTls>, Process)> {
    let tls = options.tls.clone().map(RedisTls::on_free_port);
    let tls = tls.transpose()?;
    let process = start_on(options, account, port, tls.as_ref()).await?;
    Ok((tls, process))
}

async fn start_on(
    options: &SentinelOptions,
    account: Account,
    port: u16,
    tls: Option<&RedisTls>,
) -> Result<Process> {
    let file = options.folder.join("sentinel.conf");
    if !file.exists() {
        fs::write(&file, settings(options))
            .with_context(|| format!("writing {}", file.display()))?;
        account.take(&file)?;
    }
    let log = options.folder.join("sentinel.log");
    let mut command = account.command(&options.seat, require_program("redis-server")?);
    command
        .arg(&file)
        .args(["--sentinel", "--port", &port.to_string(), "--bind"])
        .arg(options.seat.address().to_string())
        .arg("--dir")
        .arg(&options.folder)
        .args(tls.into_iter().flat_map(RedisTls::flags));
    let process = Process::start("Sentinel", command, &log, &log)?;
    let url = format!("redis://{}", options.seat.port(port));
    poll_until(START_LIMIT, "Sentinel's start", async || {
        process.check_running()?;
        let answers = answers_as(&url, process.id()).await;
        Ok(answers.then_some(()))
    })
    .await
    .with_context(|| format!("the log is {}", log.display()))?;
    Ok(process)
}

/// The initial settings. The Sentinel writes what it finds out to the same file.
fn settings(options: &SentinelOptions) -> String {
    let SentinelOptions { name, quorum, .. } = options;
    let silence = options.silence.as_millis();
    let primary = options.primary.replace(':', " ");
    format!(
        "sentinel monitor {name} {primary} {quorum}\n\
         sentinel down-after-milliseconds {name} {silence}\n\
         sentinel failover-timeout {name} 4000\n"
    )
}
