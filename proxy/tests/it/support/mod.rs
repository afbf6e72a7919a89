//! A proxy to test, upstreams behind it, and clients before it.

pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod load;
pub(crate) mod receiver;
pub(crate) mod upstream;
pub(crate) mod wire;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
pub(crate) use testbed::NameServer;
use testbed::metrics::series;
use testbed::{Proxy, ProxyLayout, ProxyOptions, Signal, new_folder};
use tokio::time::{Instant, sleep};

pub(crate) use self::client::{Client, get, request};
pub(crate) use self::load::Load;
pub(crate) use self::upstream::{Reply, Upstream};
pub(crate) use self::wire::{Kind, Message};

/// Longest time for anything that is bound to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the proxy says while no upstream is up.
pub(crate) const NO_SERVER: &str = "no server is available; try again later";

/// What it says where no upstream takes a connection.
pub(crate) const UNREACHABLE: &str = "no server can be reached; nothing was done, try again later";

/// What it says where an upstream broke off, and the request is not sent again.
pub(crate) const BROKE_OFF: &str =
    "the server broke off; a request that is not idempotent may have been carried out";

/// A running proxy and its configuration file.
pub(crate) struct Rig {
    pub(crate) proxy: Proxy,
    pub(crate) address: SocketAddr,
    pub(crate) folder: PathBuf,
    place: ProxyLayout,
    server: String,
    listen: String,
}

/// The program under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_store-proxy"))
}

/// A folder for one test's files.
pub(crate) fn folder() -> PathBuf {
    new_folder(Path::new(env!("CARGO_TARGET_TMPDIR")), "proxy").unwrap()
}

/// A group named `shop` with these upstreams; `keys` are its other keys.
pub(crate) fn shop<'a>(keys: &str, upstreams: impl IntoIterator<Item = &'a Upstream>) -> String {
    let servers = upstreams.into_iter().map(server);
    group("shop", keys, servers)
}

/// A group of the configuration.
pub(crate) fn group(name: &str, keys: &str, servers: impl IntoIterator<Item = String>) -> String {
    let servers: Vec<String> = servers.into_iter().collect();
    let servers = servers.join(", ");
    format!("[upstreams.{name}]\n{keys}\nservers = [{servers}]\n")
}

/// A server of a group.
pub(crate) fn server(upstream: &Upstream) -> String {
    server_at(upstream.address, "")
}

/// A server of a group, with further keys.
pub(crate) fn server_at(address: SocketAddr, keys: &str) -> String {
    let comma = if keys.is_empty() { "" } else { ", " };
    format!("{{ address = \"{address}\"{comma}{keys} }}")
}

/// No upstream is left out for failing: what a test without ejection means.
pub(crate) const NO_EJECTION: &str = "ejection = { failures = 0 }";

impl Rig {
    /// A proxy with this configuration: everything but `[server]` and `[[listen]]`.
    pub(crate) async fn start(config: &str) -> Self {
        Self::with("", "", config).await
    }

    /// The same, with these environment variables.
    pub(crate) async fn with_env(env: &[(&str, &str)], config: &str) -> Self {
        let env = env
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        Self::started(&env.collect::<Vec<_>>(), "", "", config).await
    }

    /// The same, with further keys of `[server]` and of its only `[[listen]]`.
    pub(crate) async fn with(server: &str, listen: &str, config: &str) -> Self {
        Self::started(&[], server, listen, config).await
    }

    async fn started(env: &[(String, String)], server: &str, listen: &str, config: &str) -> Self {
        let folder = folder();
        let write = |place: &ProxyLayout| file(place, server, listen, config);
        let started = Proxy::start_on_free_ports_with(env, binary(), &folder, write);
        let (proxy, place) = started.await.unwrap();
        Self {
            proxy,
            address: SocketAddr::from(([127, 0, 0, 1], place.port)),
            folder,
            place,
            server: server.to_owned(),
            listen: listen.to_owned(),
        }
    }

    /// The configuration file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("store-proxy.toml")
    }

    /// The file with the admin token, which the proxy has made.
    pub(crate) fn token(&self) -> PathBuf {
        self.folder.join("store-proxy.token")
    }

    /// Writes another configuration; nothing is reloaded yet.
    pub(crate) fn write(&self, config: &str) {
        let text = file(&self.place, &self.server, &self.listen, config);
        fs::write(self.file(), text).unwrap();
    }

    /// Changes the configuration by `store-proxy reload`.
    pub(crate) async fn reload(&self, config: &str) {
        self.write(config);
        let output = self.control(&["reload"]).await;
        assert!(output.status.success(), "{output:?}");
    }

    /// Runs `store-proxy` with a command for the running proxy.
    pub(crate) async fn control(&self, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(binary());
        command.kill_on_drop(true).args(args);
        command.args(["--admin", &self.proxy.admin_url("")]);
        if !args.contains(&"--config") {
            command.arg("--config").arg(self.file());
        }
        command.output().await.unwrap()
    }

    /// Starts a second process on the same file, to which this one hands its sockets and then ends.
    pub(crate) async fn successor(&self, name: &str) -> Proxy {
        self.successor_in(name, Vec::new()).await
    }

    /// The same, in this environment.
    pub(crate) async fn successor_in(&self, name: &str, env: Vec<(String, String)>) -> Proxy {
        let options = ProxyOptions {
            name: name.to_owned(),
            args: vec!["--upgrade".to_owned()],
            env,
            ..ProxyOptions::new(binary(), self.file())
        };
        let socket = self.folder.join("upgrade");
        // That of an earlier upgrade is nobody's.
        _ = fs::remove_file(&socket);
        let hand_over = async {
            eventually("the new process waits for the sockets", async || {
                socket.exists()
            })
            .await;
            self.signal(Signal::SIGQUIT);
        };
        let (started, ()) = tokio::join!(Proxy::start(&options), hand_over);
        started.unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.proxy.process().signal(signal).unwrap();
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Message {
        self.client().await.ask(request).await
    }

    /// GET, on a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> Message {
        self.ask(get(target)).await
    }

    /// What `/status` says.
    pub(crate) async fn status(&self) -> Value {
        let answer = reqwest::get(self.proxy.admin_url("/status")).await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// The state of one upstream, as `/status` says.
    pub(crate) async fn state(&self, address: SocketAddr) -> String {
        let upstream = self.status_of(address).await;
        upstream["state"].as_str().unwrap().to_owned()
    }

    /// Waits until one upstream is in this state.
    pub(crate) async fn wait_for_state(&self, address: SocketAddr, state: &str) {
        let what = format!("{address} is {state}");
        eventually(&what, async || self.state(address).await == state).await;
    }

    /// What `/status` says of one upstream.
    pub(crate) async fn status_of(&self, address: SocketAddr) -> Value {
        let status = self.status().await;
        let groups = status["groups"].as_array().unwrap();
        let mut upstreams = groups
            .iter()
            .flat_map(|group| group["upstreams"].as_array().unwrap());
        let found = upstreams.find(|u| u["address"] == address.to_string());
        found
            .unwrap_or_else(|| panic!("no {address} in {status}"))
            .clone()
    }

    /// All metrics.
    pub(crate) async fn scrape(&self) -> String {
        let answer = reqwest::get(self.proxy.admin_url("/metrics")).await;
        answer.unwrap().text().await.unwrap()
    }

    /// The sum of all series of a metric whose labels contain each of `labels`; 0 if there is none.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.scrape().await;
        let all = series(&text, name);
        let meant = all.filter(|(found, _)| labels.iter().all(|label| found.contains(label)));
        meant.map(|(_, value)| value).sum()
    }

    /// Waits until [`Rig::metric`] has this value.
    pub(crate) async fn wait_for_metric(&self, name: &str, labels: &[&str], value: f64) {
        let what = format!("{name} of {labels:?} is {value}");
        eventually(&what, async || self.metric(name, labels).await == value).await;
    }

    /// Waits until no request is at an upstream. A client may have its answer a moment before its permit is free.
    pub(crate) async fn permits_are_free(&self) {
        self.wait_for_metric("store_proxy_upstream_in_flight", &[], 0.0)
            .await;
    }
}

fn file(place: &ProxyLayout, server: &str, listen: &str, config: &str) -> String {
    let ProxyLayout {
        port,
        admin_port,
        folder,
    } = place;
    let folder = folder.display();
    format!(
        "[server]\nthreads = 2\nadmin = \"127.0.0.1:{admin_port}\"\npid_file = \"{folder}/pid\"\n\
         upgrade_socket = \"{folder}/upgrade\"\n{server}\n\n\
         [[listen]]\naddress = \"127.0.0.1:{port}\"\n{listen}\n\n{config}"
    )
}

/// Checks that an answer is an error in the form of the contract, and gives its detail.
#[track_caller]
pub(crate) fn problem(answer: &Message, status: u16) -> String {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{answer:?}"
    );
    let body = answer.json();
    assert_eq!(body["status"], status, "{body}");
    assert_eq!(body["error"], body["detail"], "{body}");
    for member in ["type", "title", "detail"] {
        assert!(body[member].is_string(), "no {member} in {body}");
    }
    if let Some(id) = answer.header("x-request-id") {
        assert_eq!(body["instance"], format!("urn:request:{id}"), "{body}");
    }
    body["detail"].as_str().unwrap().to_owned()
}

/// The upstream that echoed.
#[track_caller]
pub(crate) fn answered_by(answer: &Message) -> SocketAddr {
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer.json()["upstream"].as_str().unwrap().parse().unwrap()
}

/// Looks again until `holds`, for at most [`PATIENCE`].
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    eventually_some(what, async || holds().await.then_some(())).await;
}

/// Looks again until there is a value, for at most [`PATIENCE`].
pub(crate) async fn eventually_some<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
