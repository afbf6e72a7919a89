//! The servers of one stage: its own store with fresh data, the hosts, and a proxy if the stage has one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use testbed::seed::Dataset;
use testbed::{DataStore, Host, HostOptions, Proxy, ProxyLayout, Secret, free_port};
use tokio::process::Command;

use super::stage::Stage;
use xtask::paths;

/// All servers of a stage. Dropping this ends them.
pub(super) struct Servers {
    // Dropped before the store, because they use the store's servers.
    proxy: Option<Proxy>,
    hosts: Vec<Host>,
    pub(super) store: DataStore,
}

/// The programs under test.
#[derive(Clone, Debug)]
pub(super) struct TestedPrograms {
    pub(super) host: PathBuf,
    pub(super) proxy: PathBuf,
}

impl TestedPrograms {
    /// Why this stage can't be measured with these programs; `None` if it can.
    pub(super) async fn lacks(&self, stage: Stage) -> Option<&'static str> {
        if !stage.caches_in_proxy() || knows_purges(&self.host).await {
            None
        } else {
            Some("not available in this build: the proxy has no cache")
        }
    }
}

impl Servers {
    /// Starts and fills the store, and starts the hosts and the proxy.
    pub(super) async fn start(
        stage: Stage,
        dataset: &Dataset,
        programs: &TestedPrograms,
    ) -> Result<Self> {
        let store = DataStore::start_for_measuring(paths::target().join("tmp/lab")).await?;
        store.migrate(&programs.host)?;
        store.seed(dataset).await.context("filling the store")?;
        // The hosts must know the proxy's admin port before the proxy runs.
        let admin_port = free_port()?;
        let mut options = HostOptions::new(&programs.host, paths::app());
        options.variables = stage.variables();
        if stage.caches_in_proxy() {
            // The proxy would make it, but the hosts start first and want to read it.
            let token = store.folder().join("store-proxy.token");
            Secret::kept_in(&token)?;
            options.args = vec![
                format!("--purge=http://127.0.0.1:{admin_port}"),
                format!("--proxy-token-file={}", token.display()),
            ];
        }
        let mut hosts = Vec::new();
        for number in 0..stage.hosts() {
            // A folder for each host, because the second host would otherwise take over the state of the first.
            let state = store.folder().join(format!("state-{number}"));
            let one = options.clone().arg("--state-folder");
            hosts.push(store.host(one.arg(state.display().to_string())).await?);
        }
        let proxy = match stage.policy() {
            Some(_) => Some(start_proxy(stage, &programs.proxy, &store, &hosts, admin_port).await?),
            None => None,
        };
        Ok(Self {
            proxy,
            hosts,
            store,
        })
    }

    /// The URL for clients, without a slash at its end.
    pub(super) fn url(&self) -> String {
        match &self.proxy {
            Some(proxy) => proxy.url(""),
            None => self.hosts[0].url(""),
        }
    }

    /// The hosts' metrics: (name, URL).
    pub(super) fn metrics(&self) -> Vec<(String, String)> {
        let hosts = self.hosts.iter();
        hosts
            .map(|host| (host.process().name().to_owned(), host.admin_url("/metrics")))
            .collect()
    }

    /// Every process: (name, id).
    pub(super) fn processes(&self) -> Vec<(String, u32)> {
        let mut all = Vec::new();
        for host in &self.hosts {
            all.push((host.process().name().to_owned(), host.process().id()));
        }
        if let Some(proxy) = &self.proxy {
            all.push(("proxy".to_owned(), proxy.process().id()));
        }
        let mariadb = self.store.mariadb.as_ref();
        if let Some(process) = mariadb.and_then(testbed::MariaDb::process) {
            all.push(("mariadbd".to_owned(), process.id()));
        }
        if let Some(process) = self.store.redis_server.process() {
            all.push(("redis-server".to_owned(), process.id()));
        }
        all
    }

    /// Fails with the end of a server's log if that server has ended by itself.
    pub(super) fn check_running(&self) -> Result<()> {
        let hosts = self.hosts.iter().map(Host::process);
        let proxy = self.proxy.iter().map(Proxy::process);
        for process in hosts.chain(proxy) {
            let ended = process.exit_status()?;
            ensure!(
                ended.is_none(),
                "{} ended during the stage; its log ends with:{}",
                process.name(),
                process.log_tail()
            );
        }
        Ok(())
    }
}

async fn start_proxy(
    stage: Stage,
    binary: &Path,
    store: &DataStore,
    hosts: &[Host],
    admin_port: u16,
) -> Result<Proxy> {
    let urls: Vec<String> = hosts.iter().map(|host| host.url("")).collect();
    let logs = store.folder().join("logs");
    fs::create_dir_all(&logs).with_context(|| format!("creating {}", logs.display()))?;
    let config = |place: &ProxyLayout| proxy_config(stage, place.port, admin_port, &urls);
    let started = Proxy::start_on_free_ports(binary, store.folder(), config).await;
    let (proxy, _) = started.context("starting the proxy")?;
    Ok(proxy)
}

/// The configuration, as `cargo xtask up` writes it.
fn proxy_config(stage: Stage, port: u16, admin_port: u16, hosts: &[String]) -> String {
    let policy = stage.policy().unwrap_or_default();
    let cache = if stage.caches_in_proxy() {
        "cache = {}\n"
    } else {
        ""
    };
    let addresses = hosts.iter().map(|url| url.trim_start_matches("http://"));
    let servers: String = addresses
        .map(|address| format!("    {{ address = \"{address}\" }},\n"))
        .collect();
    format!(
        "[server]\nadmin = \"127.0.0.1:{admin_port}\"\n\n\
         [[listen]]\naddress = \"127.0.0.1:{port}\"\n\n\
         [access_log]\npath = \"logs/access.log\"\n\n\
         [upstreams.store]\npolicy = \"{policy}\"\n{cache}health = {{ path = \"/readyz\" }}\nservers = [\n{servers}]\n"
    )
}

/// Whether a host can tell a proxy to drop cached answers. Host and proxy got this feature in the same version.
async fn knows_purges(host: &Path) -> bool {
    let help = Command::new(host).arg("--help").output().await;
    help.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("--proxy-token-file"))
}
