//! The balancers and their upstreams, each on its own processors.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testbed::{Process, find_program, start_program};
use tokio::net::TcpStream;

use super::peer::Competitor;
use crate::measure;
use xtask::paths;

/// The ports in the configuration files of `loadtest/proxy`.
const NGINX_PORTS: [u16; 2] = [18_010, 18_011];
const STORE_PROXY_PORTS: [u16; 2] = [18_020, 18_022];
const UPSTREAM_PORTS: [u16; 2] = [18_001, 18_002];

/// The address of all servers, which is also the name in the certificate.
const SERVER: &str = "127.0.0.1";

/// The file of the certificate that all balancers have, in the run's folder.
pub(super) const CERTIFICATE: &str = "certificate.pem";

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The two upstreams.
pub(super) struct Upstreams {
    _server: Server,
}

impl Upstreams {
    /// Starts the upstreams, and writes the files that they and the balancers read.
    pub(super) async fn start(cpus: &str) -> Result<Self> {
        let folder = run_folder()?;
        write(&folder.join("large"), &"0123456789abcdef".repeat(64 * 64))?;
        let made = rcgen::generate_simple_self_signed([SERVER.to_owned()])?;
        write(&folder.join(CERTIFICATE), &made.cert.pem())?;
        let key = made.signing_key.serialize_pem();
        write(&folder.join("key.pem"), &key)?;
        // HAProxy requires certificate and key in one file.
        write(&folder.join("both.pem"), &(made.cert.pem() + &key))?;
        // nginx looks for an included file beside the including file.
        configured("report.conf", &[])?;
        let server = nginx("upstreams", &[], cpus, "", &UPSTREAM_PORTS).await?;
        Ok(Self { _server: server })
    }
}

/// How to start a balancer.
pub(super) struct Start<'a> {
    /// The start of the command line, if another program runs the balancer; the balancer then has one worker.
    pub(super) wrapper: &'a [String],
    pub(super) workers: usize,
    /// The balancer's processors, in the form of taskset.
    pub(super) cpus: &'a str,
}

/// A load balancer that is measured.
pub(super) struct Balancer {
    name: &'static str,
    /// The ports without and with TLS.
    ports: [u16; 2],
    server: Server,
}

impl Balancer {
    pub(super) async fn nginx(start: &Start<'_>) -> Result<Self> {
        // A wrapper must run the process that does the work, so there is no master process.
        let globals = match start.wrapper {
            [] => format!("worker_processes {};", start.workers),
            _ => "master_process off;".to_owned(),
        };
        let server = nginx("nginx", start.wrapper, start.cpus, &globals, &NGINX_PORTS).await?;
        Ok(Self {
            name: "nginx",
            ports: NGINX_PORTS,
            server,
        })
    }

    pub(super) async fn store_proxy(start: &Start<'_>, binary: &Path) -> Result<Self> {
        let threads = format!("threads = {}", start.workers);
        let config = configured("store-proxy.toml", &[("threads = 1", &threads)])?;
        let binary = std::path::absolute(binary).context("finding store-proxy")?;
        let command = [
            binary.display().to_string(),
            "--config".to_owned(),
            config.display().to_string(),
        ];
        Self::start("store-proxy", STORE_PROXY_PORTS, start, &command).await
    }

    pub(super) async fn peer(start: &Start<'_>, peer: &Competitor) -> Result<Self> {
        let (file, workers) = peer.kind.config();
        let (one, many) = (format!("{workers}1"), format!("{workers}{}", start.workers));
        let config = configured(file, &[(&one, &many)])?;
        let program = std::path::absolute(&peer.program).context("finding a peer's program")?;
        let flags = peer.kind.flags().iter().map(|flag| (*flag).to_owned());
        let mut command = vec![program.display().to_string()];
        command.extend(flags.chain([config.display().to_string()]));
        Self::start(peer.kind.name(), peer.kind.ports(), start, &command).await
    }

    async fn start(
        name: &'static str,
        ports: [u16; 2],
        start: &Start<'_>,
        command: &[String],
    ) -> Result<Self> {
        let command = [start.wrapper, command].concat();
        let server = Server::start(name, start.cpus, command, &ports).await?;
        Ok(Self {
            name,
            ports,
            server,
        })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The start of the balancer's URLs.
    pub(super) fn base(&self, https: bool) -> String {
        let scheme = if https { "https" } else { "http" };
        let port = self.ports[usize::from(https)];
        format!("{scheme}://{SERVER}:{port}")
    }

    /// Stops the balancer, and waits until it has ended.
    pub(super) async fn stop(self, limit: Duration) -> Result<()> {
        self.server.0.stop(limit).await.map(drop)
    }

    /// The user and system time of all its processes so far.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        let processes = self.server.processes()?;
        processes.into_iter().map(measure::cpu_seconds).sum()
    }

    /// The memory of all its processes; shared memory is divided among them.
    pub(super) fn memory_kib(&self) -> Result<u64> {
        let processes = self.server.processes()?;
        processes.into_iter().map(measure::memory_kib).sum()
    }
}

/// A server of one or more processes. It gets a signal to end, so that nginx ends its workers too.
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

    /// The server's process and its children.
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
        // If this fails, dropping the handle kills the main process.
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
    let (config, prefix) = (configured(&format!("{name}.conf"), &[])?, run_folder()?);
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

/// Copies one of our configuration files to the run's folder, with some texts replaced.
fn configured(name: &str, changes: &[(&str, &str)]) -> Result<PathBuf> {
    let source = folder().join(name);
    let text = fs::read_to_string(&source);
    let mut text = text.with_context(|| format!("reading {}", source.display()))?;
    for (from, to) in changes {
        ensure!(text.contains(from), "no `{from}` in {}", source.display());
        text = text.replace(from, to);
    }
    let config = run_folder()?.join(name);
    write(&config, &text)?;
    Ok(config)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

async fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect(address).await.is_ok()
}

/// The folder of committed files.
fn folder() -> PathBuf {
    paths::root().join("loadtest/proxy")
}

/// The folder of a run's own files.
pub(super) fn run_folder() -> Result<PathBuf> {
    let folder = paths::target().join("bench-proxy");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}
