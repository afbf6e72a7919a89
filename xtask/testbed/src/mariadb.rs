//! A private MariaDB server: its own data folder, its own port, loopback only.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

use crate::polling::poll_until;
use crate::ports::{start_on_own_port, start_on_some_port};
use crate::process::Process;
use crate::programs::require_program;
use crate::spawner::owned_command;

/// The account of everything that connects. It may do anything, on a server that only this machine reaches.
const USER: &str = "store";
const PASSWORD: &str = "store";

/// Run at each start, before the first connection is let in.
const INIT_SQL: &str = "CREATE USER IF NOT EXISTS 'store'@'%' IDENTIFIED BY 'store';
GRANT ALL PRIVILEGES ON *.* TO 'store'@'%' WITH GRANT OPTION;
";

/// A crashed server reads its whole log again before it answers.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// What a server is for, which decides what a commit survives and how much disk and memory it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Data that somebody wants to find again: each commit waits for the disk, so that it survives the machine's death.
    Keeping,
    /// Tests: a commit survives the server's death, which is what tests cause. Small, as there may be a dozen.
    Testing,
    /// Measurements: as durable as for tests, with room for minutes of load.
    Measuring,
}

/// How to start a [`MariaDb`].
#[derive(Clone, Debug)]
pub struct MariaDbOptions {
    /// Holds its data and its port. A server started here again finds the one and tries to get the other.
    pub folder: PathBuf,
    /// The file that the server's log is appended to.
    pub log: PathBuf,
    /// What it is for.
    pub purpose: Purpose,
}

/// A running `mariadbd`, killed on drop.
#[derive(Debug)]
pub struct MariaDb {
    options: MariaDbOptions,
    port: u16,
    /// `None` while stopped.
    process: Option<Process>,
}

impl MariaDb {
    /// Makes the data folder if there is none, starts the server and waits until it lets us in.
    ///
    /// # Errors
    /// When it is not installed or doesn't start; the message has the end of its log.
    pub async fn start(options: MariaDbOptions) -> Result<Self> {
        install(&options)?;
        let (port, process) =
            start_on_some_port(&options.folder, |port| start_on(&options, port)).await?;
        Ok(Self {
            options,
            port,
            process: Some(process),
        })
    }

    /// The port on 127.0.0.1, the same from start to drop.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of `database`, with the account that may do anything.
    pub fn url(&self, database: &str) -> String {
        format!(
            "mysql://{USER}:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The server process, unless stopped.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Creates `database`, empty, unless it exists.
    ///
    /// # Errors
    /// When the server refuses the name or is stopped.
    pub async fn create_database(&self, database: &str) -> Result<()> {
        ensure!(!database.contains('`'), "a database's name has no backtick");
        let mut conn = connect(self.port).await?;
        let statement = format!("CREATE DATABASE IF NOT EXISTS `{database}`");
        conn.query_drop(statement)
            .await
            .with_context(|| format!("creating the database {database}"))?;
        conn.disconnect().await.context("disconnecting")
    }

    /// Stops the server in good order. Its port stays ours to come back to.
    ///
    /// # Errors
    /// When it had to be killed.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.stop(STOP_LIMIT).await?;
        }
        Ok(())
    }

    /// Kills the server, as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts a stopped or killed server again, on the same port and data.
    ///
    /// # Errors
    /// When it doesn't start within the time limit.
    pub async fn start_again(&mut self) -> Result<()> {
        if self.process.is_none() {
            let options = &self.options;
            let process = start_on_own_port(self.port, |port| start_on(options, port)).await?;
            self.process = Some(process);
        }
        Ok(())
    }
}

/// Makes the system tables. They are made in a second folder first, so that an interrupted try leaves no half.
fn install(options: &MariaDbOptions) -> Result<()> {
    let data = data_folder(&options.folder);
    if data.exists() {
        return Ok(());
    }
    fs::create_dir_all(&options.folder)
        .with_context(|| format!("creating {}", options.folder.display()))?;
    let unfinished = options.folder.join("data.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).context("removing an unfinished data folder")?;
    }
    let log = options.folder.join("install.log");
    let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let status = Command::new(require_program("mariadb-install-db")?)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", unfinished.display()))
        .args(["--skip-test-db", "--skip-name-resolve"])
        .args(run_as_root()?)
        .env("TMPDIR", temporary_folder(&options.folder)?)
        .stdout(output.try_clone().context("sharing a log")?)
        .stderr(output)
        .status()
        .context("running mariadb-install-db")?;
    ensure!(
        status.success(),
        "mariadb-install-db failed ({status}); see {}",
        log.display()
    );
    fs::rename(&unfinished, &data).context("moving the new data folder into place")
}

async fn start_on(options: &MariaDbOptions, port: u16) -> Result<Process> {
    let init_file = options.folder.join("init.sql");
    fs::write(&init_file, INIT_SQL).with_context(|| format!("writing {}", init_file.display()))?;
    let mut command = owned_command(require_program("mariadbd")?);
    command
        .arg("--no-defaults")
        .arg(format!(
            "--datadir={}",
            data_folder(&options.folder).display()
        ))
        .arg(format!("--init-file={}", init_file.display()))
        .arg(format!("--port={port}"))
        // Relative to the data folder: an absolute path might be longer than the 107 bytes a socket's name may have.
        .arg("--socket=mariadbd.sock")
        .args([
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-log-bin",
        ])
        .args(["--character-set-server=utf8mb4", "--max-connections=500"])
        .args(settings(options.purpose))
        .args(run_as_root()?)
        .env("TMPDIR", temporary_folder(&options.folder)?);
    let process = Process::start("MariaDB", command, &options.log, &options.log)?;
    poll_until(START_LIMIT, "MariaDB's start", async || {
        process.check_running()?;
        // The log first: until it says so, whoever answers on this port is somebody else.
        let listening = process.log().contains("ready for connections");
        Ok((listening && connect(port).await.is_ok()).then_some(()))
    })
    .await
    .with_context(|| format!("the log is {}", options.log.display()))?;
    Ok(process)
}

fn settings(purpose: Purpose) -> [&'static str; 3] {
    match purpose {
        Purpose::Keeping => [
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=256M",
            "--innodb-log-file-size=96M",
        ],
        Purpose::Testing => [
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=128M",
            // The server allocates it whole at its first start.
            "--innodb-log-file-size=32M",
        ],
        Purpose::Measuring => [
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=512M",
            // Minutes of thousands of orders a second fit in. When it is nearly full, all connections may spin for minutes on
            // one processor before the thread that would empty it gets its turn: with 16M at once, with 96M now and then.
            "--innodb-log-file-size=1G",
        ],
    }
}

/// MariaDB refuses to run as root unless told to by name.
fn run_as_root() -> Result<Option<&'static str>> {
    let process = fs::metadata("/proc/self").context("looking up our own user")?;
    Ok((process.uid() == 0).then_some("--user=root"))
}

fn data_folder(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Its own: a server that starts removes the temporary tables of all others in the same folder.
fn temporary_folder(folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("tmp");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    path::absolute(&folder).with_context(|| format!("making {} absolute", folder.display()))
}

async fn connect(port: u16) -> Result<Conn> {
    let opts = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some(USER))
        .pass(Some(PASSWORD))
        .prefer_socket(false);
    Conn::new(opts)
        .await
        .with_context(|| format!("connecting to MariaDB on port {port}"))
}
