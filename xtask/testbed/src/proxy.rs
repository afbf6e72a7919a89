//! A `store-proxy` process.

use std::env;
use std::fs;
use std::path::{self, Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::polling::poll_until;
use crate::ports::{says_port_taken, two_free_ports};
use crate::process::Process;
use crate::spawner::owned_command;

/// It reads one file and compiles nothing.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How often a proxy is started again because another process took one of its ports in between.
const PORT_TRIES: usize = 5;

/// How to start a [`Proxy`].
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// What it is called in messages; its log is `<name>.log`.
    pub name: String,
    /// The `store-proxy` program.
    pub binary: PathBuf,
    /// Its configuration file.
    pub config: PathBuf,
    /// The folder of its log.
    pub logs: PathBuf,
    /// Further flags.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Whether our own `STORE_PROXY_…` reach it: a person wants that, a test does not.
    pub inherit_settings: bool,
}

/// Where a proxy on free ports is to listen and keep its files; the answer is its configuration.
#[derive(Clone, Debug)]
pub struct Place {
    /// The port for clients on 127.0.0.1.
    pub port: u16,
    /// The port for metrics and status on 127.0.0.1.
    pub admin_port: u16,
    /// A folder for its files.
    pub folder: PathBuf,
}

/// A proxy that listens, killed on drop.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    urls: Vec<String>,
    admin_base_url: String,
}

impl ProxyOptions {
    /// A proxy with this configuration, whose log lies beside it, and that inherits no settings.
    pub fn new(binary: impl Into<PathBuf>, config: impl Into<PathBuf>) -> Self {
        let config = config.into();
        Self {
            name: "proxy".to_owned(),
            binary: binary.into(),
            logs: config.parent().map(Path::to_owned).unwrap_or_default(),
            config,
            args: Vec::new(),
            env: Vec::new(),
            inherit_settings: false,
        }
    }
}

impl Proxy {
    /// Starts a proxy and waits until it listens.
    ///
    /// # Errors
    /// When it ends instead; the message has the end of its log.
    pub async fn start(options: &ProxyOptions) -> Result<Self> {
        let stdout = options.logs.join(format!("{}.out", options.name));
        let process = launch(options, &stdout)?;
        let what = format!("the start of {}", options.name);
        let (urls, admin_base_url) = poll_until(START_LIMIT, &what, async || {
            // Before looking at the process: one that has said its lines and died is found out by its user.
            let said = fs::read_to_string(&stdout).unwrap_or_default();
            let announced = announced_urls(&said);
            if announced.is_none() {
                process.check_running()?;
            }
            Ok(announced)
        })
        .await?;
        Ok(Self {
            process,
            urls,
            admin_base_url,
        })
    }

    /// Starts a proxy on free ports, in `folder`, with the configuration that `config` writes for them.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub async fn start_on_free_ports(
        binary: &Path,
        folder: &Path,
        config: impl Fn(&Place) -> String,
    ) -> Result<(Self, Place)> {
        let mut tries = 1;
        loop {
            let (port, admin_port) = two_free_ports()?;
            let place = Place {
                port,
                admin_port,
                folder: folder.to_owned(),
            };
            let file = folder.join("store-proxy.toml");
            fs::write(&file, config(&place))
                .with_context(|| format!("writing {}", file.display()))?;
            match Self::start(&ProxyOptions::new(binary, file)).await {
                Err(error) if says_port_taken(&error) && tries < PORT_TRIES => tries += 1,
                started => return Ok((started?, place)),
            }
        }
    }

    /// Starts a proxy that is expected to end by itself, and gives its end and everything it wrote.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub async fn run_to_end(
        options: &ProxyOptions,
        limit: Duration,
    ) -> Result<(ExitStatus, String)> {
        let stdout = options.logs.join(format!("{}.out", options.name));
        let process = launch(options, &stdout)?;
        let status = process.wait_exit(limit).await?;
        let said = fs::read_to_string(&stdout).unwrap_or_default();
        Ok((status, said + &process.log()))
    }

    /// The URL of `path` (with its leading slash) on its first listener.
    pub fn url(&self, path: &str) -> String {
        let base = self.urls.first().map(String::as_str).unwrap_or_default();
        format!("{base}{path}")
    }

    /// The URLs of its listeners, without a path.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The URL of `path` on its admin listener.
    pub fn admin_url(&self, path: &str) -> String {
        format!("{}{path}", self.admin_base_url)
    }

    /// The process, for its id, its log and signals.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn launch(options: &ProxyOptions, stdout: &Path) -> Result<Process> {
    // The lines of an earlier run would be taken for this one's.
    if stdout.exists() {
        fs::remove_file(stdout).with_context(|| format!("removing {}", stdout.display()))?;
    }
    let mut command = owned_command(absolute(&options.binary)?);
    if !options.inherit_settings {
        remove_settings(&mut command);
    }
    command
        .arg("--config")
        .arg(absolute(&options.config)?)
        .args(&options.args)
        .envs(options.env.iter().cloned());
    let log = options.logs.join(format!("{}.log", options.name));
    Process::start(&options.name, command, stdout, &log)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path::absolute(path).with_context(|| format!("making {} absolute", path.display()))
}

fn remove_settings(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("STORE_PROXY_") {
            command.env_remove(&name);
        }
    }
}

/// The URLs that a proxy prints when it is ready: those of its listeners, and last that of its admin listener.
fn announced_urls(said: &str) -> Option<(Vec<String>, String)> {
    let complete = &said[..=said.rfind('\n')?];
    let after = |prefix: &'static str| {
        let lines = complete.lines();
        lines.filter_map(move |line| line.strip_prefix(prefix).map(str::to_owned))
    };
    let admin = after("admin on ").next()?;
    Some((after("listening on ").collect(), admin))
}

#[cfg(test)]
mod tests {
    use super::announced_urls;

    #[test]
    fn a_proxy_is_ready_when_its_admin_line_is_complete() {
        let listening = "listening on http://127.0.0.1:8080\nlistening on https://[::1]:8443\n";
        assert_eq!(announced_urls(listening), None);
        assert_eq!(
            announced_urls(&format!("{listening}admin on http://127.0.0.1:80")),
            None
        );
        let (urls, admin) =
            announced_urls(&format!("{listening}admin on http://127.0.0.1:8081\n")).expect("ready");
        assert_eq!(urls, ["http://127.0.0.1:8080", "https://[::1]:8443"]);
        assert_eq!(admin, "http://127.0.0.1:8081");
    }
}
