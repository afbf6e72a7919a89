//! The sides of a comparison: the host, its native twin, and other servers at a URL, all on one MariaDB and one Redis.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::seed::{Dataset, LAB};
use testbed::{DataStore, Host, HostOptions, Process, Progress, Twin};
use tokio::process::Command;

use super::peer::Competitor;
use super::routes::Route;
use super::{Cpus, Programs};
use crate::measure::{TraceReceiver, TraceShare};
use xtask::paths;

/// The seed of the random data.
pub(super) const RNG_SEED: u64 = 42;

pub(super) const HOST: &str = "store-host";
pub(super) const NATIVE: &str = "native";
/// The host with `order_commit = single`; measured only with orders.
pub(super) const HOST_SINGLE: &str = "store-host-single";
/// The twin that commits orders together, as the host does; measured only with orders.
pub(super) const NATIVE_GROUPED: &str = "native-grouped";

/// A server that is measured.
pub(super) struct Side {
    pub(super) name: String,
    pub(super) url: String,
    server: Option<Server>,
    /// Whether it serves the empty component instead of a store.
    is_empty: bool,
}

enum Server {
    Host(Host),
    Other(Process),
}

impl Server {
    fn process(&self) -> &Process {
        match self {
            Self::Host(host) => host.process(),
            Self::Other(process) => process,
        }
    }
}

impl Side {
    pub(super) fn of(name: &str, host: Host) -> Self {
        Self {
            name: name.to_owned(),
            url: host.url(""),
            server: Some(Server::Host(host)),
            is_empty: false,
        }
    }

    /// Whether the route is measured on this side.
    pub(super) fn serves(&self, route: Route) -> bool {
        if self.is_empty {
            return route == Route::Empty;
        }
        let only_orders = [HOST_SINGLE, NATIVE_GROUPED].contains(&self.name.as_str());
        !only_orders || route.places_orders()
    }

    /// The process id of the side, if we started it.
    pub(super) fn process(&self) -> Option<u32> {
        self.server.as_ref().map(|server| server.process().id())
    }

    /// Ends the side cleanly, if we started it, and waits for its end.
    pub(super) async fn stop(&self, limit: Duration) -> Result<()> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        let status = server.process().stop(limit).await?;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }
}

/// All servers of a run.
pub(super) struct Bench {
    // Dropped before the store, because they use the store's servers.
    pub(super) sides: Vec<Side>,
    pub(super) store: DataStore,
}

impl Bench {
    pub(super) async fn start(
        programs: &Programs,
        cpus: &Cpus,
        peers: &[Competitor],
    ) -> Result<Self> {
        let store = start_store(&programs.host, cpus, &Dataset::random(LAB, RNG_SEED)).await?;
        let options = host_options(&programs.host, cpus);
        let host = store.host(options.clone()).await?;
        let single = store
            .host(options.variable("order_commit", "single"))
            .await?;
        let native = start_native(NATIVE, &[], &programs.native, &store, cpus).await?;
        let grouped = start_native(
            NATIVE_GROUPED,
            &["--grouped"],
            &programs.native,
            &store,
            cpus,
        )
        .await?;
        let mut sides = vec![
            Side::of(HOST, host),
            Side::of(HOST_SINGLE, single),
            native,
            grouped,
        ];
        for peer in peers {
            let (url, process) = peer.start(store.folder(), cpus).await?;
            sides.push(Side {
                name: peer.name.clone(),
                url,
                server: process.map(Server::Other),
                is_empty: peer.is_empty(),
            });
        }
        Ok(Self { sides, store })
    }
}

/// The options of a host on its own processor that sends a share of its traces to `receiver`.
pub(super) fn traced_options(
    binary: &Path,
    cpus: &Cpus,
    share: TraceShare,
    receiver: &TraceReceiver,
) -> HostOptions {
    let options = host_options(binary, cpus);
    let variables = share.environment(receiver).into_iter();
    variables.fold(options, |options, (name, value)| options.env(name, &value))
}

/// The options of a host with default settings, on its own processor.
pub(super) fn host_options(binary: &Path, cpus: &Cpus) -> HostOptions {
    HostOptions {
        cpus: Some(cpus.server.clone()),
        ..HostOptions::new(binary, paths::app())
    }
}

/// Starts MariaDB and Redis on their processors, migrates and fills them.
pub(super) async fn start_store(host: &Path, cpus: &Cpus, data: &Dataset) -> Result<DataStore> {
    let step = Progress::detect().step("MariaDB, Redis and data", 0);
    let store = DataStore::start_for_measuring(folder()?).await?;
    store.migrate(host)?;
    store.seed(data).await?;
    let mariadb = store.mariadb.as_ref().and_then(|server| server.process());
    for process in [mariadb, store.redis_server.process()]
        .into_iter()
        .flatten()
    {
        pin(process, &cpus.stores).await?;
    }
    step.finish();
    Ok(store)
}

/// Limits a running server, with its present and future threads, to these processors.
async fn pin(process: &Process, cpus: &str) -> Result<()> {
    let id = process.id().to_string();
    let mut command = Command::new("taskset");
    command.args(["--all-tasks", "--cpu-list", "--pid", cpus, &id]);
    let output = command.output().await.context("running taskset")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "taskset of {}: {}",
        process.name(),
        said.trim()
    );
    Ok(())
}

async fn start_native(
    name: &str,
    flags: &[&str],
    binary: &Path,
    store: &DataStore,
    cpus: &Cpus,
) -> Result<Side> {
    let twin = Twin::start(store, name, binary, Some(cpus.server.as_str()), flags).await?;
    Ok(Side {
        name: name.to_owned(),
        url: twin.url,
        server: Some(Server::Other(twin.process)),
        is_empty: false,
    })
}

/// The folder of a run's data and logs.
fn folder() -> Result<PathBuf> {
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}
