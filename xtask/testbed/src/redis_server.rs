//! A private Redis server. It is a cache and keeps nothing on disk, so it is empty after each start.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::programs::require_program;

use crate::account::Account;
use crate::polling::poll_until;
use crate::ports::{start_on_own_port, start_on_some_port};
use crate::process::Process;
use crate::redis_tls::{RedisTls, TlsFiles};
use crate::seat::Seat;
use crate::secret::{Secret, write_private};

/// The user of a server with a password.
const USER: &str = "store";

/// What that user may do, in the server's words (redis.io, ACL SETUSER): all that the host lets components send, end
/// scripts, and ask what the server is. What empties or governs the server, reads all keys at once or leaves the user's
/// database is refused, also to scripts, which the host does not look into. docs/RUNBOOK.md has the same words for
/// other servers.
const RIGHTS: &str = "~* &* +@all -@admin -@dangerous -copy -move -select +info";

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How to start a [`RedisServer`].
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// The server's own folder. It also stores the port, which a server that starts here again tries to get.
    pub folder: PathBuf,
    /// The file that the server's log is appended to.
    pub log: PathBuf,
    /// The most memory that the server uses, in MiB; above it, the server refuses writes. `None` for no limit.
    pub max_memory_mib: Option<u32>,
    /// Commands that the server must not know, as if it were an older version.
    pub without: &'static [&'static str],
    /// The port for other nodes of its Redis Cluster, if it is in one. The cluster then takes a node for dead that is
    /// silent for a second.
    pub cluster_port: Option<u16>,
    /// Whether the server has a file in which it notes whose replica it is, as a Sentinel decides. It reads that file
    /// at its next start.
    pub replicated: bool,
    /// TLS on a port beside the usual one, if the server speaks it. A node of a Redis Cluster then speaks it to the
    /// other nodes too.
    pub tls: Option<TlsFiles>,
    /// The network location that the server listens in.
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
            tls: None,
            seat: Seat::LOOPBACK,
        }
    }
}

/// A running `redis-server`, killed on drop.
#[derive(Debug)]
pub struct RedisServer {
    options: RedisOptions,
    account: Account,
    /// `None` if the server needs no password.
    password: Option<Secret>,
    port: u16,
    tls: Option<RedisTls>,
    /// `None` while stopped.
    process: Option<Process>,
}

impl RedisServer {
    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// When the server is not installed or doesn't start; the message contains the end of its log.
    pub async fn start(options: RedisOptions) -> Result<Self> {
        let account = Account::of_server("Redis", &options.folder)?;
        Self::start_as(account, options, None).await
    }

    /// As [`RedisServer::start`], but clients need a password, which is made at the first start and kept in the folder,
    /// and may read and write data and run scripts, and no more.
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
        let (port, (tls, process)) = start_on_some_port(&options.folder, |port| {
            start_first(&options, account, password.as_ref(), port)
        })
        .await?;
        Ok(Self {
            options,
            account,
            password,
            port,
            tls,
            process: Some(process),
        })
    }

    /// The port, which never changes while this lives.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's address, as `host:port`.
    pub fn address(&self) -> String {
        self.options.seat.port(self.port).to_string()
    }

    /// The port for TLS, if the server has one.
    pub fn tls_port(&self) -> Option<u16> {
        self.tls.as_ref().map(|tls| tls.port)
    }

    /// The server's URL, with user and password if it has them.
    pub fn url(&self) -> String {
        url(&self.options.seat, self.port, self.password.as_ref())
    }

    /// The server process, unless stopped.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Kills the server. This simulates a crash.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops the server, which loses its data. It keeps its port for [`RedisServer::start_again`].
    ///
    /// # Errors
    /// When the server had to be killed.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.stop(STOP_LIMIT).await?;
        }
        Ok(())
    }

    /// Starts a stopped server again, empty, on the same port.
    ///
    /// # Errors
    /// When the server doesn't start within the time limit.
    pub async fn start_again(&mut self) -> Result<()> {
        if self.process.is_none() {
            let (tls, password) = (self.tls.as_ref(), self.password.as_ref());
            let start = |port| start_on(&self.options, self.account, password, port, tls);
            self.process = Some(start_on_own_port(self.port, start).await?);
        }
        Ok(())
    }
}

/// Starts the server with TLS on a free port, if it speaks TLS.
async fn start_first(
    options: &RedisOptions,
    account: Account,
    password: Option<&Secret>,
    port: u16,
) -> Result<(Option<RedisTls>, Process)> {
    let tls = options.tls.clone().map(RedisTls::on_free_port);
    let tls = tls.transpose()?;
    let process = start_on(options, account, password, port, tls.as_ref()).await?;
    Ok((tls, process))
}

async fn start_on(
    options: &RedisOptions,
    account: Account,
    password: Option<&Secret>,
    port: u16,
    tls: Option<&RedisTls>,
) -> Result<Process> {
    let mut command = account.command(&options.seat, require_program("redis-server")?);
    let settings = options.folder.join("password.conf");
    if let Some(password) = password {
        // Not a flag, because every user of the machine can see flags.
        let password = password.as_str();
        let users = format!("user default off\nuser {USER} on >{password} {RIGHTS}\n");
        write_private(&settings, &users)
            .with_context(|| format!("writing {}", settings.display()))?;
        account.take(&settings)?;
        command.arg(&settings);
    } else if options.replicated {
        command.arg(replication_file(options, account)?);
    }
    command
        .args(["--port", &port.to_string(), "--bind"])
        .arg(options.seat.address().to_string())
        // The listening address decides who may connect.
        .args(["--protected-mode", "no"])
        .args(["--save", "", "--appendonly", "no"])
        // The time in milliseconds after which a script may be killed, under its name in versions before 7.
        .args(["--lua-time-limit", "1000"])
        .arg("--dir")
        .arg(&options.folder);
    if let Some(limit) = options.max_memory_mib {
        // The server must not evict keys: if the mark of a change were gone, the old value would count again.
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
    if let Some(tls) = tls {
        command.args(tls.flags());
        if options.cluster_port.is_some() {
            // Otherwise the node would tell its clients the ports without TLS.
            command.args(["--tls-cluster", "yes"]);
        }
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

/// The file that the server writes its settings to when they change.
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

/// Whether the server at `url` is the process `id`, and not another process that took the port first.
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
    let user = password.map(|password| format!("{USER}:{}@", password.as_str()));
    format!("redis://{}{}", user.unwrap_or_default(), seat.port(port))
}
