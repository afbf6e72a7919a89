//! A `store-host` process.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::addresses::Addresses;
use crate::process::Process;
use crate::program::{Run, absolute, remove_settings};
use crate::seat::Seat;
use crate::spawner::owned_command_at;

/// The first start on a machine compiles three components; later starts find them in a cache on disk.
const START_LIMIT: Duration = Duration::from_secs(180);

/// Port 0: the host picks a free port and prints it.
const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// How to start a [`Host`].
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// The host's name in messages; its log is `<name>.log`.
    pub name: String,
    /// The `store-host` program.
    pub binary: PathBuf,
    /// The app's `spin.toml`.
    pub app: PathBuf,
    /// The folder that the host runs in, where it looks for `.env`.
    pub directory: PathBuf,
    /// The folder for the host's log.
    pub logs: PathBuf,
    /// The address at which the host serves the app.
    pub listen: SocketAddr,
    /// The address of metrics and status, as the flag takes it: an address, or `unix:` and a path.
    pub admin_listen: String,
    /// Variables of `spin.toml`, under their names there. They override the variables for MySQL and Redis.
    pub variables: Vec<(String, String)>,
    /// Other environment variables.
    pub env: Vec<(String, String)>,
    /// Further flags.
    pub args: Vec<String>,
    /// The processors that the host may use, in the form of `taskset`; `None` for all.
    pub cpus: Option<String>,
    /// The network location that the host runs in. It listens at `listen`.
    pub seat: Seat,
    /// The start of the command line, if another program runs the host.
    pub wrapper: Vec<String>,
    /// Whether our own `STORE_HOST_…` and `SPIN_VARIABLE_…` variables reach the host: a person wants that, a test does
    /// not.
    pub inherit_settings: bool,
}

impl HostOptions {
    /// A host on free ports that inherits no settings; [`crate::DataStore::host`] gives it a name and folders.
    pub fn new(binary: impl Into<PathBuf>, app: impl Into<PathBuf>) -> Self {
        Self {
            name: String::new(),
            binary: binary.into(),
            app: app.into(),
            directory: PathBuf::new(),
            logs: PathBuf::new(),
            listen: ANY_PORT,
            admin_listen: ANY_PORT.to_string(),
            variables: Vec::new(),
            env: Vec::new(),
            args: Vec::new(),
            cpus: None,
            seat: Seat::LOOPBACK,
            wrapper: Vec::new(),
            inherit_settings: false,
        }
    }

    /// Sets the variable `name` of `spin.toml` to `value`.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the environment variable `name` to `value`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a flag.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds flags and their values, as they stand on the command line.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }
}

/// A host that listens, killed on drop.
#[derive(Debug)]
pub struct Host {
    process: Process,
    base_url: String,
    admin_base_url: String,
}

impl Host {
    /// Starts a host in front of the servers at `addresses` and waits until it listens.
    ///
    /// # Errors
    /// When the host ends instead; the message contains the end of its log.
    pub async fn start(options: &HostOptions, addresses: &Addresses) -> Result<Self> {
        let run = launch(options, addresses)?;
        let (process, (base_url, admin_base_url)) =
            run.announced(START_LIMIT, announced_urls).await?;
        Ok(Self {
            process,
            base_url,
            admin_base_url,
        })
    }

    /// Starts a host that is expected to end by itself. Returns its exit status and everything that it wrote.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub async fn run_to_end(
        options: &HostOptions,
        addresses: &Addresses,
        limit: Duration,
    ) -> Result<(ExitStatus, String)> {
        launch(options, addresses)?.end(limit).await
    }

    /// The URL of `path` (which begins with a slash) on this host.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// The URL of `path` on the host's admin listener.
    pub fn admin_url(&self, path: &str) -> String {
        format!("{}{path}", self.admin_base_url)
    }

    /// The process, for its id, log and name.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Everything that the host has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Sends SIGTERM: the host drains and ends.
    ///
    /// # Errors
    /// When the signal can't be sent.
    pub fn sigterm(&self) -> Result<()> {
        self.process.terminate()
    }

    /// Kills the host. This simulates a crash.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Waits until the host ends.
    ///
    /// # Errors
    /// When the host still runs after `limit`.
    pub async fn wait_exit(&self, limit: Duration) -> Result<ExitStatus> {
        self.process.wait_exit(limit).await
    }
}

/// Applies the store's migrations to the database at `mysql_url`, and creates the database if it does not exist.
///
/// # Errors
/// When `binary` fails; the message contains its output.
pub fn migrate(binary: &Path, mysql_url: &str) -> Result<()> {
    let output = Command::new(binary)
        .arg("migrate")
        // Not a flag, because every user of the machine can see flags.
        .env("STORE_HOST_MYSQL_URL", mysql_url)
        .output()
        .with_context(|| format!("running {}", binary.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`store-host migrate` failed ({}): {}",
        output.status,
        said.trim()
    );
    Ok(())
}

fn launch(options: &HostOptions, addresses: &Addresses) -> Result<Run> {
    let binary = absolute(&options.binary)?;
    let cpus = options.cpus.iter().flat_map(|cpus| {
        ["taskset", "--cpu-list", cpus]
            .map(OsString::from)
            .into_iter()
    });
    let mut words = cpus
        .chain(options.wrapper.iter().map(OsString::from))
        .chain([binary.into_os_string()]);
    let mut command = owned_command_at(&options.seat, &[], words.next().unwrap_or_default());
    command.args(words);
    if !options.inherit_settings {
        remove_settings(&mut command, &["SPIN_VARIABLE_", "STORE_HOST_", "OTEL_"]);
    }
    command
        .arg("--app")
        .arg(absolute(&options.app)?)
        .args(["--listen", &options.listen.to_string()])
        .args(["--admin-listen", &options.admin_listen])
        .args(&options.args)
        .current_dir(&options.directory)
        .envs(options.env.iter().cloned());
    for (name, value) in addresses.variables().iter().chain(&options.variables) {
        command.env(format!("SPIN_VARIABLE_{}", name.to_uppercase()), value);
    }
    Run::start(&options.name, command, &options.logs)
}

/// The two URLs that a host prints when it is ready.
fn announced_urls(said: &str) -> Option<(String, String)> {
    let after = |prefix: &str| {
        said.lines()
            .find_map(|line| line.strip_prefix(prefix).map(str::to_owned))
    };
    Some((after("listening on ")?, after("admin on ")?))
}

#[cfg(test)]
mod tests {
    use super::announced_urls;

    #[test]
    fn a_host_is_ready_when_it_has_said_both_lines() {
        let listening = "listening on http://127.0.0.1:5000\n";
        assert_eq!(announced_urls(""), None);
        assert_eq!(announced_urls(listening), None);
        let both = announced_urls(&format!("{listening}admin on http://127.0.0.1:5100\n"));
        let expected = (
            "http://127.0.0.1:5000".to_owned(),
            "http://127.0.0.1:5100".to_owned(),
        );
        assert_eq!(both, Some(expected));
    }
}
