//! A private MariaDB server: its own data folder, its own port, loopback only. It is MySQL instead if tests are told to
//! use that.

use std::fs::{self, File};
use std::path::{self, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

use crate::account::Account;
use crate::polling::poll_until;
use crate::ports::{start_on_own_port, start_on_some_port};
use crate::process::Process;
use crate::seat::Seat;
use crate::secret::{Secret, write_private};
use crate::server_settings::{self as settings, DATABASE, USER};

/// MariaDB refuses to run as root without this flag.
const AS_ROOT: &str = "--user=root";

/// After a crash, a server reads its whole log before it answers.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// What a server is for. This decides which failures a commit survives, and how much disk and memory the server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Data that people want to keep: each commit waits for the disk, so that it survives the death of the machine.
    /// There is one database, and nobody who connects can do anything outside it.
    Keeping,
    /// Tests, which may do anything. A commit survives the death of the server, which is what tests cause. The server
    /// is small, because there may be a dozen.
    Testing,
    /// Measurements: as durable as for tests, with room for minutes of load.
    Measuring,
}

/// How to start a [`MariaDb`].
#[derive(Clone, Debug)]
pub struct MariaDbOptions {
    /// The folder of the server's data and port. A server that starts here again uses the same data and tries to get
    /// the same port.
    pub folder: PathBuf,
    /// The file that the server's log is appended to.
    pub log: PathBuf,
    /// What the server is for.
    pub purpose: Purpose,
    /// The network location that the server listens in.
    pub seat: Seat,
    /// The `mysqld` of MySQL to start instead of MariaDB.
    pub mysqld: Option<PathBuf>,
}

impl MariaDbOptions {
    /// A MariaDB server on loopback.
    pub fn new(folder: impl Into<PathBuf>, log: impl Into<PathBuf>, purpose: Purpose) -> Self {
        Self {
            folder: folder.into(),
            log: log.into(),
            purpose,
            seat: Seat::LOOPBACK,
            mysqld: None,
        }
    }

    /// The name of the server's program, as people know it.
    fn server_name(&self) -> &'static str {
        match self.mysqld {
            Some(_) => "MySQL",
            None => "MariaDB",
        }
    }
}

/// A running `mariadbd` or `mysqld`, killed on drop.
#[derive(Debug)]
pub struct MariaDb {
    options: MariaDbOptions,
    account: Account,
    password: Secret,
    port: u16,
    /// Flags in addition to those of the purpose.
    flags: Vec<String>,
    /// `None` while stopped.
    process: Option<Process>,
}

impl MariaDb {
    /// Makes the data folder if it does not exist, starts the server, and waits until it accepts us.
    ///
    /// # Errors
    /// When the server is not installed or doesn't start; the message contains the end of its log.
    pub async fn start(options: MariaDbOptions) -> Result<Self> {
        let account = Account::of_server(options.server_name(), &options.folder)?;
        install(&options, account)?;
        let password = Secret::kept_in(&options.folder.join("password"))?;
        let (port, process) = start_on_some_port(&options.folder, |port| {
            start_on(&options, account, &password, &[], port)
        })
        .await?;
        Ok(Self {
            options,
            account,
            password,
            port,
            flags: Vec::new(),
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

    /// The URL of `database`, password included.
    pub fn url(&self, database: &str) -> String {
        let password = self.password.as_str();
        format!("mysql://{USER}:{password}@{}/{database}", self.address())
    }

    /// The URL of the database that a server for [`Purpose::Keeping`] has from the start.
    pub fn store_url(&self) -> String {
        self.url(DATABASE)
    }

    /// The folder of the server's data. Flags that name files without a folder mean files in this one.
    pub fn data_folder(&self) -> PathBuf {
        data_folder(&self.options.folder)
    }

    /// The server process, unless stopped.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Creates the empty database `database`, unless it exists.
    ///
    /// # Errors
    /// When the server refuses the name or is stopped.
    pub async fn create_database(&self, database: &str) -> Result<()> {
        ensure!(!database.contains('`'), "a database's name has no backtick");
        let mut conn = self.connect().await?;
        let statement = format!("CREATE DATABASE IF NOT EXISTS `{database}`");
        conn.query_drop(statement)
            .await
            .with_context(|| format!("creating the database {database}"))?;
        conn.disconnect().await.context("disconnecting")
    }

    /// Opens a connection to the server, without a database.
    ///
    /// # Errors
    /// When the server is stopped or does not answer.
    pub(crate) async fn connect(&self) -> Result<Conn> {
        connect(&self.options, self.port, &self.password).await
    }

    /// Shuts the server down cleanly. It keeps its port for [`MariaDb::start_again`].
    ///
    /// # Errors
    /// When the server had to be killed.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.stop(STOP_LIMIT).await?;
        }
        Ok(())
    }

    /// Kills the server. This simulates a crash.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Shuts the server down cleanly, and starts it on the same port and data with additional `flags`.
    ///
    /// # Errors
    /// When the server had to be killed, or doesn't start within the time limit.
    pub async fn restart_with(&mut self, flags: &[&str]) -> Result<()> {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.stop().await?;
        self.start_again().await
    }

    /// Starts a stopped or killed server again, on the same port and data.
    ///
    /// # Errors
    /// When the server doesn't start within the time limit.
    pub async fn start_again(&mut self) -> Result<()> {
        if self.process.is_none() {
            let (options, password, flags) = (&self.options, &self.password, &self.flags);
            let process = start_on_own_port(self.port, |port| {
                start_on(options, self.account, password, flags, port)
            })
            .await?;
            self.process = Some(process);
        }
        Ok(())
    }
}

/// Makes the system tables, first in a second folder, so that an interrupted attempt leaves no half-made data folder.
fn install(options: &MariaDbOptions, account: Account) -> Result<()> {
    let data = data_folder(&options.folder);
    if data.exists() {
        return Ok(());
    }
    let unfinished = options.folder.join("data.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).context("removing an unfinished data folder")?;
    }
    let log = options.folder.join("install.log");
    let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let program = settings::program(options, "mariadb-install-db")?;
    let flags: &[&str] = match options.mysqld {
        // This leaves root without a password; the first start locks root out.
        Some(_) => &["--initialize-insecure"],
        None => &["--skip-test-db", "--skip-name-resolve"],
    };
    let status = Command::new(&program)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", unfinished.display()))
        .args(flags)
        .args((account != Account::Ours).then_some(AS_ROOT))
        .env("TMPDIR", temporary_folder(&options.folder, account)?)
        .stdout(output.try_clone().context("sharing a log")?)
        .stderr(output)
        .status()
        .with_context(|| format!("running {}", program.display()))?;
    ensure!(
        status.success(),
        "{} failed ({status}); see {}",
        program.display(),
        log.display()
    );
    account.take(&unfinished)?;
    fs::rename(&unfinished, &data).context("moving the new data folder into place")
}

async fn start_on(
    options: &MariaDbOptions,
    account: Account,
    password: &Secret,
    flags: &[String],
    port: u16,
) -> Result<Process> {
    let init_file = path::absolute(options.folder.join("init.sql"))
        .context("making the server's folder absolute")?;
    write_private(&init_file, &settings::init_sql(options, password))
        .with_context(|| format!("writing {}", init_file.display()))?;
    account.take(&init_file)?;
    let mut command = account.command(&options.seat, settings::program(options, "mariadbd")?);
    command
        .arg("--no-defaults")
        .arg(format!(
            "--datadir={}",
            data_folder(&options.folder).display()
        ))
        .arg(format!("--init-file={}", init_file.display()))
        .arg(format!("--port={port}"))
        // Relative to the data folder: an absolute path may be longer than the 107 bytes of a socket's name.
        .arg("--socket=mariadbd.sock")
        .arg(format!("--bind-address={}", options.seat.address()))
        .args(["--skip-name-resolve", "--skip-log-bin"])
        .args(["--character-set-server=utf8mb4", "--max-connections=500"])
        .arg("--local-infile=0")
        .args(settings::of(options))
        .args(flags)
        .args((account == Account::Root).then_some(AS_ROOT))
        .env("TMPDIR", temporary_folder(&options.folder, account)?);
    let name = options.server_name();
    let process = Process::start(name, command, &options.log, &options.log)?;
    poll_until(START_LIMIT, &format!("{name}'s start"), async || {
        process.check_running()?;
        // The log is checked first: until it says this, another server may be answering on the port.
        let listening = process.log().contains("ready for connections");
        Ok((listening && connect(options, port, password).await.is_ok()).then_some(()))
    })
    .await
    .with_context(|| format!("the log is {}", options.log.display()))?;
    fs::remove_file(&init_file).context("removing the file with the password")?;
    Ok(process)
}

fn data_folder(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// A temporary folder for this server alone: a server that starts deletes the temporary tables of all others in the
/// same folder.
fn temporary_folder(folder: &Path, account: Account) -> Result<PathBuf> {
    let folder = folder.join("tmp");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    account.take(&folder)?;
    path::absolute(&folder).with_context(|| format!("making {} absolute", folder.display()))
}

async fn connect(options: &MariaDbOptions, port: u16, password: &Secret) -> Result<Conn> {
    let opts = OptsBuilder::default()
        .ip_or_hostname(options.seat.address().to_string())
        .tcp_port(port)
        .user(Some(USER))
        .pass(Some(password.as_str()))
        .prefer_socket(false);
    Conn::new(opts)
        .await
        .with_context(|| format!("connecting to {} on port {port}", options.server_name()))
}
