//! A private Redis server. It is a cache, so it keeps nothing on disk: stopped and started again, it is empty.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::account::Account;
use crate::polling::poll_until;
use crate::ports::{start_on_own_port, start_on_some_port};
use crate::process::Process;
use crate::programs::require_program;

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How to start a [`RedisServer`].
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// The server's own folder. It holds its port, which a server started here again tries to get.
    pub folder: PathBuf,
    /// The file that the server's log is appended to.
    pub log: PathBuf,
    /// Commands that it shall not know, as if it were older.
    pub without: &'static [&'static str],
    /// Whether it is a node of a Redis Cluster.
    pub clustered: bool,
}

/// A running `redis-server`, killed on drop.
#[derive(Debug)]
pub struct RedisServer {
    options: RedisOptions,
    account: Account,
    port: u16,
    /// `None` while stopped.
    process: Option<Process>,
}

impl RedisServer {
    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed or doesn't start; the message has the end of its log.
    pub async fn start(options: RedisOptions) -> Result<Self> {
        let account = Account::of_server("Redis", &options.folder)?;
        let (port, process) =
            start_on_some_port(&options.folder, |port| start_on(&options, account, port)).await?;
        Ok(Self {
            options,
            account,
            port,
            process: Some(process),
        })
    }

    /// The port on 127.0.0.1, the same from start to drop.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's URL.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// The server process, unless stopped.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Stops the server; what it held is gone. Its port stays ours to come back to.
    ///
    /// # Errors
    /// When it had to be killed.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.stop(STOP_LIMIT).await?;
        }
        Ok(())
    }

    /// Starts a stopped server again, empty, on the same port.
    ///
    /// # Errors
    /// When it doesn't start within the time limit.
    pub async fn start_again(&mut self) -> Result<()> {
        if self.process.is_none() {
            let process = start_on_own_port(self.port, |port| {
                start_on(&self.options, self.account, port)
            })
            .await?;
            self.process = Some(process);
        }
        Ok(())
    }
}

async fn start_on(options: &RedisOptions, account: Account, port: u16) -> Result<Process> {
    let mut command = account.command(require_program("redis-server")?);
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(&options.folder);
    for name in options.without {
        command.args(["--rename-command", name, ""]);
    }
    if options.clustered {
        command.args(["--cluster-enabled", "yes"]);
    }
    let process = Process::start("Redis", command, &options.log, &options.log)?;
    poll_until(START_LIMIT, "Redis's start", async || {
        process.check_running()?;
        Ok(answers_as(port, process.id()).await.then_some(()))
    })
    .await
    .with_context(|| format!("the log is {}", options.log.display()))?;
    Ok(process)
}

/// Whether the server on `port` is the process `id`, and not another that took the port first.
async fn answers_as(port: u16, id: u32) -> bool {
    let info = async {
        let client = redis::Client::open(url(port))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("INFO")
            .arg("server")
            .query_async::<String>(&mut connection)
            .await
    };
    let line = format!("process_id:{id}");
    info.await
        .is_ok_and(|text| text.lines().any(|found| found == line))
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}
