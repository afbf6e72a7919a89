//! What is measured and what stands behind it, each on processors of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testbed::{Process, find_program, start_program};
use tokio::net::TcpStream;

use crate::measure;
use xtask::paths;

/// As in the files of `loadtest/proxy`.
const NGINX_PORT: u16 = 18_010;
const STORE_PROXY_PORT: u16 = 18_020;
const UPSTREAM_PORTS: [u16; 2] = [18_001, 18_002];

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The two upstreams.
pub(super) struct Upstreams {
    _server: Server,
}

impl Upstreams {
    pub(super) async fn start(cpus: &str) -> Result<Self> {
        let server = nginx("upstreams", &[], cpus, "", &UPSTREAM_PORTS).await?;
        Ok(Self { _server: server })
    }
}

/// A load balancer to be measured.
pub(super) struct Balancer {
    name: &'static str,
    port: u16,
    url: String,
    server: Server,
}

impl Balancer {
    /// nginx. `wrapper` is what its command line begins with, if it is run by another program: it has one worker then.
    pub(super) async fn nginx(
        wrapper: &[String],
        workers: usize,
        cpus: &str,
        path: &str,
    ) -> Result<Self> {
        // A wrapper is to see the process that works.
        let globals = match wrapper {
            [] => format!("worker_processes {workers};"),
            _ => "master_process off;".to_owned(),
        };
        Ok(Self {
            name: "nginx",
            port: NGINX_PORT,
            url: url(NGINX_PORT, path),
            server: nginx("nginx", wrapper, cpus, &globals, &[NGINX_PORT]).await?,
        })
    }

    /// store-proxy, and what its command line begins with.
    pub(super) async fn store_proxy(
        wrapper: &[String],
        binary: &Path,
        workers: usize,
        cpus: &str,
        path: &str,
    ) -> Result<Self> {
        let source = folder().join("store-proxy.toml");
        let text =
            fs::read_to_string(&source).with_context(|| format!("reading {}", source.display()))?;
        let text = text.replace("threads = 1", &format!("threads = {workers}"));
        let config = run_folder()?.join("store-proxy.toml");
        fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        let binary = std::path::absolute(binary).context("finding store-proxy")?;
        let args = [
            binary.display().to_string(),
            "--config".to_owned(),
            config.display().to_string(),
        ];
        let args = [wrapper, &args].concat();
        Ok(Self {
            name: "store-proxy",
            port: STORE_PROXY_PORT,
            url: url(STORE_PROXY_PORT, path),
            server: Server::start("store-proxy", cpus, args, &[STORE_PROXY_PORT]).await?,
        })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Ends it, and waits until it has ended.
    pub(super) async fn stop(self, limit: Duration) -> Result<()> {
        self.server.0.stop(limit).await.map(drop)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// User and system time of all its processes so far.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        let processes = self.server.processes()?;
        processes.into_iter().map(measure::cpu_seconds).sum()
    }

    /// Memory of all its processes, what they share divided among them.
    pub(super) fn memory_kib(&self) -> Result<u64> {
        let processes = self.server.processes()?;
        processes.into_iter().map(measure::memory_kib).sum()
    }
}

/// A server of one or more processes. It is asked to end, so that nginx takes its workers along.
struct Server(Process);

impl Server {
    async fn start(name: &str, cpus: &str, args: Vec<String>, ports: &[u16]) -> Result<Self> {
        for port in ports {
            ensure!(!answers(*port).await, "port {port} is taken");
        }
        let args = [vec!["--cpu-list".to_owned(), cpus.to_owned()], args].concat();
        let log = run_folder()?.join(format!("{name}.log"));
        let server = Self(start_program(name, "taskset", &args, &log)?);
        let deadline = Instant::now() + START_LIMIT;
        for port in ports {
            while !answers(*port).await {
                let ended = server.0.exit_status()?;
                ensure!(
                    ended.is_none() && Instant::now() < deadline,
                    "{name} doesn't listen on port {port}; its log ends with:{}",
                    server.0.log_tail()
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(server)
    }

    /// Itself and its children.
    fn processes(&self) -> Result<Vec<u32>> {
        let id = self.0.id();
        let children = format!("/proc/{id}/task/{id}/children");
        let text = fs::read_to_string(&children).with_context(|| format!("reading {children}"))?;
        let children = text.split_whitespace().filter_map(|id| id.parse().ok());
        Ok(children.chain([id]).collect())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whatever fails here, the handle kills the process it has.
        _ = self.0.terminate();
        let deadline = Instant::now() + STOP_LIMIT;
        while matches!(self.0.exit_status(), Ok(None)) && Instant::now() < deadline {
            sleep(Duration::from_millis(20));
        }
    }
}

async fn nginx(
    name: &str,
    wrapper: &[String],
    cpus: &str,
    globals: &str,
    ports: &[u16],
) -> Result<Server> {
    let program = find_program("nginx").context("`cargo xtask bench-proxy` installs nginx")?;
    let config = folder().join(format!("{name}.conf"));
    let prefix = run_folder()?;
    let args = [
        program.display().to_string(),
        "-p".to_owned(),
        prefix.display().to_string(),
        "-c".to_owned(),
        config.display().to_string(),
        "-e".to_owned(),
        "stderr".to_owned(),
        "-g".to_owned(),
        globals.to_owned(),
    ];
    Server::start(name, cpus, [wrapper, &args].concat(), ports).await
}

fn url(port: u16, path: &str) -> String {
    format!("http://127.0.0.1:{port}{path}")
}

async fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect(address).await.is_ok()
}

/// What is committed.
fn folder() -> PathBuf {
    paths::root().join("loadtest/proxy")
}

/// What is not.
pub(super) fn run_folder() -> Result<PathBuf> {
    let folder = paths::target().join("bench-proxy");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}
