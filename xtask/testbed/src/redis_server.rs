//! A private Redis server. It is a cache, so it keeps nothing on disk: stopped and started again, it is empty.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::programs::require_program;

use crate::account::Account;
use crate::polling::poll_until;
use crate::ports::{start_on_own_port, start_on_some_port};
use crate::process::Process;
use crate::seat::Seat;
use crate::secret::{Secret, write_private};

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How to start a [`RedisServer`].
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// The server's own folder. It holds its port, which a server started here again tries to get.
    pub folder: PathBuf,
    /// The file that the server's log is appended to.
    pub log: PathBuf,
    /// Most memory that it takes, in MiB: beyond, it refuses writes. `None` for as much as there is.
    pub max_memory_mib: Option<u32>,
    /// Commands that it shall not know, as if it were older.
    pub without: &'static [&'static str],
    /// Where other nodes of its Redis Cluster reach it, if it is in one; it is found dead within a second.
    pub cluster_port: Option<u16>,
    /// Whether it has a file to note whose replica it is, as a Sentinel tells it. Started again, it goes by that.
    pub replicated: bool,
    /// Where it listens.
    pub seat: Seat,
}

impl RedisOptions {
    /// A server by itself, on loopback, that knows all commands.
    pub fn new(folder: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            log: log.into(),
            max_memory_mib: None,
            without: &[],
            cluster_port: None,
            replicated: false,
            seat: Seat::LOOPBACK,
        }
    }
}

/// A running `redis-server`, killed on drop.
#[derive(Debug)]
pub struct RedisServer {
    options: RedisOptions,
    account: Account,
    /// `None` if it lets everyone in.
    password: Option<Secret>,
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
        Self::start_as(account, options, None).await
    }

    /// The same for those only who know a password, which is made at the first start and kept in the folder.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub async fn start_with_password(options: RedisOptions) -> Result<Self> {
        let account = Account::of_server("Redis", &options.folder)?;
        let password = Secret::kept_in(&options.folder.join("password"))?;
        Self::start_as(account, options, Some(password)).await
    }

    async fn start_as(
        account: Account,
        options: RedisOptions,
        password: Option<Secret>,
    ) -> Result<Self> {
        let (port, process) = start_on_some_port(&options.folder, |port| {
            start_on(&options, account, password.as_ref(), port)
        })
        .await?;
        Ok(Self {
            options,
            account,
            password,
            port,
            process: Some(process),
        })
    }

    /// The port, the same from start to drop.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> String {
        self.options.seat.port(self.port).to_string()
    }

    /// The server's URL, password included.
    pub fn url(&self) -> String {
        url(&self.options.seat, self.port, self.password.as_ref())
    }

    /// The server process, unless stopped.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Kills the server, as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
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
                start_on(&self.options, self.account, self.password.as_ref(), port)
            })
            .await?;
            self.process = Some(process);
        }
        Ok(())
    }
}

async fn start_on(
    options: &RedisOptions,
    account: Account,
    password: Option<&Secret>,
    port: u16,
) -> Result<Process> {
    let mut command = account.command(&options.seat, require_program("redis-server")?);
    let settings = options.folder.join("password.conf");
    if let Some(password) = password {
        // Not as a flag: everyone on the machine sees those.
        write_private(&settings, &format!("requirepass {}\n", password.as_str()))
            .with_context(|| format!("writing {}", settings.display()))?;
        account.take(&settings)?;
        command.arg(&settings);
    } else if options.replicated {
        command.arg(replication_file(options, account)?);
    }
    command
        .args(["--port", &port.to_string(), "--bind"])
        .arg(options.seat.address().to_string())
        // Who may connect is for the address to say.
        .args(["--protected-mode", "no"])
        .args(["--save", "", "--appendonly", "no"])
        // As versions before 7 call the time after which a script may be ended, in milliseconds.
        .args(["--lua-time-limit", "1000"])
        .arg("--dir")
        .arg(&options.folder);
    if let Some(limit) = options.max_memory_mib {
        // It may evict nothing: with a mark of a change gone, the value before the change would count again.
        command.args(["--maxmemory", &format!("{limit}mb")]);
        command.args(["--maxmemory-policy", "noeviction"]);
    }
    for name in options.without {
        command.args(["--rename-command", name, ""]);
    }
    if let Some(bus) = options.cluster_port {
        command.args(["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]);
        command.args(["--cluster-port", &bus.to_string()]);
    }
    let process = Process::start("Redis", command, &options.log, &options.log)?;
    poll_until(START_LIMIT, "Redis's start", async || {
        process.check_running()?;
        let answers = answers_as(&url(&options.seat, port, password), process.id()).await;
        Ok(answers.then_some(()))
    })
    .await
    .with_context(|| format!("the log is {}", options.log.display()))?;
    remove_if_there(&settings)?;
    Ok(process)
}

/// The server writes its settings there when they change.
fn replication_file(options: &RedisOptions, account: Account) -> Result<PathBuf> {
    let file = options.folder.join("redis.conf");
    if !file.exists() {
        fs::write(&file, "").with_context(|| format!("writing {}", file.display()))?;
        account.take(&file)?;
    }
    Ok(file)
}

fn remove_if_there(file: &Path) -> Result<()> {
    if file.exists() {
        fs::remove_file(file).with_context(|| format!("removing {}", file.display()))?;
    }
    Ok(())
}

/// Whether the server at `url` is the process `id`, and not another that took the port first.
pub(crate) async fn answers_as(url: &str, id: u32) -> bool {
    let info = async {
        let client = redis::Client::open(url)?;
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

fn url(seat: &Seat, port: u16, password: Option<&Secret>) -> String {
    let password = password.map_or(String::new(), |password| format!(":{}@", password.as_str()));
    format!("redis://{password}{}", seat.port(port))
}
