//! A `store-proxy` process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::ports::{again_if_port_taken, two_free_ports};
use crate::process::Process;
use crate::program::{Run, absolute, remove_settings};
use crate::seat::Seat;
use crate::spawner::owned_command_at;

/// The proxy reads one file and compiles nothing.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How to start a [`Proxy`].
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// The proxy's name in messages; its log is `<name>.log`.
    pub name: String,
    /// The `store-proxy` program.
    pub binary: PathBuf,
    /// The proxy's configuration file.
    pub config: PathBuf,
    /// The folder for the proxy's log.
    pub logs: PathBuf,
    /// The network location that the proxy runs in. It listens where its configuration says.
    pub seat: Seat,
    /// Further flags.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Whether our own `STORE_PROXY_…` variables reach the proxy: a person wants that, a test does not.
    pub inherit_settings: bool,
}

/// The ports and the folder of a proxy on free ports; the caller turns them into a configuration.
#[derive(Clone, Debug)]
pub struct ProxyLayout {
    /// The port for clients on 127.0.0.1.
    pub port: u16,
    /// The port for metrics and status on 127.0.0.1.
    pub admin_port: u16,
    /// A folder for the proxy's files.
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
    /// A proxy with this configuration file. Its log lies beside the file, and it inherits no settings.
    pub fn new(binary: impl Into<PathBuf>, config: impl Into<PathBuf>) -> Self {
        let config = config.into();
        Self {
            name: "proxy".to_owned(),
            binary: binary.into(),
            logs: config.parent().map(Path::to_owned).unwrap_or_default(),
            config,
            seat: Seat::LOOPBACK,
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
    /// When the proxy ends instead; the message contains the end of its log.
    pub async fn start(options: &ProxyOptions) -> Result<Self> {
        let run = launch(options)?;
        let (process, (urls, admin_base_url)) = run.announced(START_LIMIT, announced_urls).await?;
        Ok(Self {
            process,
            urls,
            admin_base_url,
        })
    }

    /// Starts a proxy on free ports, in `folder`, with the configuration that `config` writes for them.
    ///
    /// # Errors
    /// When the proxy doesn't come up.
    pub async fn start_on_free_ports(
        binary: &Path,
        folder: &Path,
        config: impl Fn(&ProxyLayout) -> String,
    ) -> Result<(Self, ProxyLayout)> {
        Self::start_on_free_ports_with(&[], binary, folder, config).await
    }

    /// As [`Proxy::start_on_free_ports`], with these environment variables.
    ///
    /// # Errors
    /// When the proxy doesn't come up.
    pub async fn start_on_free_ports_with(
        env: &[(String, String)],
        binary: &Path,
        folder: &Path,
        config: impl Fn(&ProxyLayout) -> String,
    ) -> Result<(Self, ProxyLayout)> {
        again_if_port_taken(async || {
            let (port, admin_port) = two_free_ports()?;
            let place = ProxyLayout {
                port,
                admin_port,
                folder: folder.to_owned(),
            };
            let file = folder.join("store-proxy.toml");
            fs::write(&file, config(&place))
                .with_context(|| format!("writing {}", file.display()))?;
            let options = ProxyOptions {
                env: env.to_vec(),
                ..ProxyOptions::new(binary, file)
            };
            let proxy = Self::start(&options).await?;
            Ok((proxy, place))
        })
        .await
    }

    /// Starts a proxy that is expected to end by itself. Returns its exit status and everything that it wrote.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub async fn run_to_end(
        options: &ProxyOptions,
        limit: Duration,
    ) -> Result<(ExitStatus, String)> {
        launch(options)?.end(limit).await
    }

    /// The URL of `path` (which begins with a slash) on the proxy's first listener.
    pub fn url(&self, path: &str) -> String {
        let base = self.urls.first().map(String::as_str).unwrap_or_default();
        format!("{base}{path}")
    }

    /// The URLs of the proxy's listeners, without a path.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The URL of `path` on the proxy's admin listener.
    pub fn admin_url(&self, path: &str) -> String {
        format!("{}{path}", self.admin_base_url)
    }

    /// The process, for its id, its log and signals.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Everything that the proxy has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn launch(options: &ProxyOptions) -> Result<Run> {
    let mut command = owned_command_at(&options.seat, &[], absolute(&options.binary)?);
    if !options.inherit_settings {
        remove_settings(&mut command, &["STORE_PROXY_", "OTEL_"]);
    }
    command
        .arg("--config")
        .arg(absolute(&options.config)?)
        .args(&options.args)
        .envs(options.env.iter().cloned());
    Run::start(&options.name, command, &options.logs)
}

/// The URLs that a proxy prints when it is ready: first those of its listeners, last that of its admin listener.
fn announced_urls(said: &str) -> Option<(Vec<String>, String)> {
    let after = |prefix: &'static str| {
        let lines = said.lines();
        lines.filter_map(move |line| line.strip_prefix(prefix).map(str::to_owned))
    };
    let admin = after("admin on ").next()?;
    Some((after("listening on ").collect(), admin))
}

#[cfg(test)]
mod tests {
    use super::announced_urls;

    #[test]
    fn a_proxy_is_ready_when_it_has_said_its_admin_line() {
        let listening = "listening on http://127.0.0.1:8080\nlistening on https://[::1]:8443\n";
        assert_eq!(announced_urls(listening), None);
        let (urls, admin) =
            announced_urls(&format!("{listening}admin on http://127.0.0.1:8081\n")).expect("ready");
        assert_eq!(urls, ["http://127.0.0.1:8080", "https://[::1]:8443"]);
        assert_eq!(admin, "http://127.0.0.1:8081");
    }
}
