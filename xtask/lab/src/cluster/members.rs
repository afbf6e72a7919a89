//! The members: three databases, three Redis with a Sentinel each, three hosts, two proxies, and a Prometheus.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use testbed::seed::Dataset;
use testbed::{
    Addresses, DatabaseCluster, Host, HostOptions, Progress, Prometheus, PrometheusOptions, Proxy,
    ProxyOptions, Purpose, RedisServer, Replication, Secret, Sentinel,
};
use xtask::paths;

use super::caches::{CACHE, addresses_of, start_redis, start_sentinels};
use super::network::Network;

/// The name of the store's database.
pub(super) const DATABASE: &str = "store";

/// The programs of hosts and proxies.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) host: PathBuf,
    pub(super) proxy: PathBuf,
}

/// A member that is a program of ours: its options, and its process while it runs.
pub(super) struct MemberProcess<Options, Running> {
    pub(super) options: Options,
    pub(super) running: Option<Running>,
}

/// All members. Dropping this kills them, then removes their network.
pub(super) struct Cluster {
    pub(super) prometheus: Prometheus,
    pub(super) proxies: Vec<MemberProcess<ProxyOptions, Proxy>>,
    pub(super) hosts: Vec<MemberProcess<HostOptions, Host>>,
    pub(super) sentinels: Vec<Sentinel>,
    pub(super) redis: Vec<RedisServer>,
    pub(super) databases: DatabaseCluster,
    pub(super) addresses: Addresses,
    pub(super) token: Secret,
    pub(super) folder: PathBuf,
    pub(super) network: Network,
}

/// The addresses that a host or a proxy listens on.
#[derive(Clone, Copy)]
struct Ports {
    serving: SocketAddr,
    admin: SocketAddr,
}

impl Cluster {
    /// Starts all members with their files in `folder`, and fills the store.
    pub(super) async fn start(
        folder: PathBuf,
        programs: &Programs,
        replication: Replication,
        mut network: Network,
        dataset: &Dataset,
    ) -> Result<Self> {
        let step = Progress::detect().step("databases", 0);
        let mut seats = Vec::new();
        for number in 0..3 {
            seats.push(network.seat(&format!("db-{number}"))?);
        }
        let seats = [seats[0].clone(), seats[1].clone(), seats[2].clone()];
        let own = folder.join("databases");
        let databases = DatabaseCluster::start(replication, &own, Purpose::Testing, seats).await?;
        step.finish_with(&databases.members());
        let step = Progress::detect().step("Redis and Sentinels", 0);
        let redis = start_redis(&folder, &mut network).await?;
        let sentinels = start_sentinels(&folder, &mut network, &redis[0]).await?;
        step.finish_with(&redis[0].address());
        let url = databases.nodes()[0].url(DATABASE);
        testbed::migrate(&programs.host, &url)?;
        let addresses = Addresses::new(&url, &redis[0].url())?;
        testbed::seed::load(&addresses, dataset, Progress::detect()).await?;

        let step = Progress::detect().step("hosts and proxies", 0);
        let token = Secret::kept_in(&token_file(&folder))?;
        let proxies = proxy_options(&folder, programs, &mut network)?;
        let options = host_options(&folder, programs, &mut network, &proxies)?;
        let options = options.into_iter().map(|options| {
            options
                .variable("redis_address", CACHE)
                .variable("stock_policy", "reject")
                .arg("--mysql-members")
                .arg(databases.members())
                .arg("--redis-sentinel")
                .arg(addresses_of(&sentinels))
        });
        let mut hosts = Vec::new();
        for options in options {
            // One after the other: the first host leaves compiled components in the cache for the others.
            let host = Host::start(&options, &addresses).await?;
            hosts.push((options, host));
        }
        let serving: Vec<SocketAddr> = hosts.iter().map(|(host, _)| host.listen).collect();
        for (options, ports) in &proxies {
            write_config(options, *ports, &serving)?;
        }
        let started = try_join_all(proxies.iter().map(|(options, _)| Proxy::start(options)));
        let started = started.await?;
        step.finish();
        let (options, running): (Vec<HostOptions>, Vec<Host>) = hosts.into_iter().unzip();
        let prometheus = start_prometheus(&folder, &running, &started).await?;
        let proxies = proxies.into_iter().map(|(options, _)| options).zip(started);
        Ok(Self {
            prometheus,
            proxies: proxies.map(MemberProcess::from).collect(),
            hosts: options
                .into_iter()
                .zip(running)
                .map(MemberProcess::from)
                .collect(),
            sentinels,
            redis,
            databases,
            addresses,
            token,
            folder,
            network,
        })
    }

    /// The URLs that clients connect to.
    pub(super) fn urls(&self) -> Vec<String> {
        let running = self
            .proxies
            .iter()
            .filter_map(|proxy| proxy.running.as_ref());
        running.map(|proxy| proxy.url("")).collect()
    }
}

impl<Options, Running> From<(Options, Running)> for MemberProcess<Options, Running> {
    fn from((options, running): (Options, Running)) -> Self {
        Self {
            options,
            running: Some(running),
        }
    }
}

fn host_options(
    folder: &Path,
    programs: &Programs,
    network: &mut Network,
    proxies: &[(ProxyOptions, Ports)],
) -> Result<Vec<HostOptions>> {
    let mut trusted = "127.0.0.1,::1".to_owned();
    for (proxy, _) in proxies {
        trusted += &format!(",{}", proxy.seat.address());
    }
    let token = token_file(folder).display().to_string();
    let mut hosts = Vec::new();
    for number in 0..3 {
        let name = format!("host-{number}");
        let seat = network.seat(&name)?;
        let mut options = HostOptions {
            directory: folder.to_owned(),
            logs: folder.to_owned(),
            listen: seat.port(network.port(5000)?),
            admin_listen: seat.port(network.port(5100)?).to_string(),
            seat,
            ..HostOptions::new(&programs.host, paths::app())
        };
        options = options
            .arg("--state-folder")
            .arg(folder.join(format!("{name}-state")).display().to_string())
            .arg("--trusted-proxies")
            .arg(&trusted)
            .arg("--proxy-token-file")
            .arg(&token)
            .arg("--admin-token-file")
            .arg(&token);
        for (_, ports) in proxies {
            options = options.arg(format!("--purge=http://{}", ports.admin));
        }
        hosts.push(HostOptions { name, ..options });
    }
    Ok(hosts)
}

/// The file with the admin token of all hosts and proxies.
pub(super) fn token_file(folder: &Path) -> PathBuf {
    folder.join("admin-token")
}

fn proxy_options(
    folder: &Path,
    programs: &Programs,
    network: &mut Network,
) -> Result<Vec<(ProxyOptions, Ports)>> {
    let mut proxies = Vec::new();
    for number in 0..2 {
        let name = format!("proxy-{number}");
        let seat = network.seat(&name)?;
        let ports = Ports {
            serving: seat.port(network.port(8080)?),
            admin: seat.port(network.port(8081)?),
        };
        // The proxy keeps other files next to its configuration.
        let own = folder.join(&name);
        fs::create_dir_all(&own).with_context(|| format!("creating {}", own.display()))?;
        let options = ProxyOptions {
            logs: folder.to_owned(),
            seat,
            ..ProxyOptions::new(&programs.proxy, own.join("store-proxy.toml"))
        };
        proxies.push((ProxyOptions { name, ..options }, ports));
    }
    Ok(proxies)
}

fn write_config(options: &ProxyOptions, ports: Ports, hosts: &[SocketAddr]) -> Result<()> {
    let servers = hosts
        .iter()
        .map(|host| format!("{{ address = \"{host}\" }}"));
    let servers = servers.collect::<Vec<_>>().join(", ");
    let Ports { serving, admin } = ports;
    let text = format!(
        "[server]\nadmin = \"{admin}\"\nadmin_token_file = \"../admin-token\"\n\n\
         [[listen]]\naddress = \"{serving}\"\n\n\
         [retry]\nkeyed_posts = [\"/orders\", \"/users\", \"/products\", \"/stocks\"]\n\n\
         [upstreams.store]\n\
         health = {{ path = \"/readyz\", interval = \"500ms\", timeout = \"500ms\" }}\n\
         cache = {{}}\nservers = [{servers}]\n"
    );
    let file = &options.config;
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

async fn start_prometheus(folder: &Path, hosts: &[Host], proxies: &[Proxy]) -> Result<Prometheus> {
    let step = Progress::detect().step("Prometheus", 0);
    let options = PrometheusOptions {
        folder: folder.join("prometheus"),
        log: folder.join("prometheus.log"),
        port: 0,
        scrape_seconds: 5,
        rules: paths::prometheus_rules(),
    };
    let prometheus = Prometheus::start(&options, hosts, proxies).await?;
    step.finish_with(&prometheus.url(""));
    Ok(prometheus)
}
