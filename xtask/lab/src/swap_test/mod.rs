//! `cargo xtask swap-test`: replaces components under load, with good and bad versions mixed. No request may notice.

mod admin;
mod load;
mod plan;
mod report;
mod swaps;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use testbed::seed::{Dataset, LAB};
use testbed::{DataStore, HostOptions, Progress};
use tokio::time::sleep;

use self::admin::Admin;
use self::load::{Load, Work};
use self::report::Report;
use crate::measure::{Loaders, write_json};
use xtask::setup::{self, COMPILING, MARIADB, PROCESSES, REDIS};
use xtask::{build, paths};

/// The warm-up, in which connections are opened, pools filled and pages faulted in.
const WARM_UP: Duration = Duration::from_secs(10);

/// Good swaps before the count begins. They fill the places of versions kept for rollbacks: three generations of three
/// components.
const FILLING: u32 = 9;

/// The number of swaps after which the memory is first read.
const FIRST_LOOK: u32 = 10;

/// How long the cache may take to reflect the last order: one refresh interval (`report_refresh_seconds`) and a little
/// more.
const SETTLE: Duration = Duration::from_secs(70);

/// The path of the results in this repository.
const RESULTS: &str = "loadtest/results/swap.json";

/// The seed of the random data and requests, so that runs can be compared.
const RNG_SEED: u64 = 42;

/// Swap components under a fixed load, good and bad versions mixed, and compare with the same load without swaps
///
/// Builds the host as it is shipped, which takes minutes the first time. Exits with 1 if a request
/// failed, the 99th percentile more than doubled, memory grew by more than 5 % between the tenth swap and the last, a
/// rollback took over 100 ms, a replaced generation was not freed, or the data differ at the end.
/// loadtest/swap/README.md explains the figures.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Requests a second, a tenth of them orders
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    rate: u32,
    /// Seconds of load without swaps, for the comparison
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3600))]
    steady: u64,
    /// Number of swaps
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(20..=10_000))]
    swaps: u32,
    /// Test this `store-host` instead of building one
    #[arg(long, value_name = "PROGRAM")]
    host: Option<PathBuf>,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    setup::wasm_target().await?;
    setup::tools(&[COMPILING, PROCESSES, MARIADB, REDIS]).await?;
    let loaders = Loaders::default();
    build::components().await?;
    build::test_guest().await?;
    let binary = match options.host {
        Some(binary) => binary,
        None => build::dist_host().await?,
    };
    let (store, host) = start(&binary).await?;
    let admin = Admin::new(&host, TOKEN)?;
    let work = Work::new(&host.url(""), &LAB, RNG_SEED);
    let load = async || Load::start(&loaders, &work, options.rate).await;

    let step = Progress::detect().step("warm-up", 0);
    let warm_up = load().await?;
    sleep(WARM_UP).await;
    warm_up.stop().await?;
    step.finish();

    let step = Progress::detect().step("steady load", 0);
    let steady = load().await?;
    sleep(Duration::from_secs(options.steady)).await;
    let steady = steady.stop().await?;
    step.finish();

    let step = Progress::detect().step("filling", u64::from(FILLING));
    let filling = swaps::run(&admin, plan::good(FILLING), &step).await?;
    step.finish();
    let step = Progress::detect().step("load with swaps", u64::from(options.swaps));
    let load = load().await?;
    let mut plan = plan::mixed(options.swaps);
    let mut tried = swaps::run(&admin, plan.by_ref().take(FIRST_LOOK as usize), &step).await?;
    let first_memory = admin.settled_memory().await?;
    tried.extend(swaps::run(&admin, plan, &step).await?);
    let last_memory = admin.settled_memory().await?;
    let mut rollbacks_ms = Vec::new();
    for component in plan::COMPONENTS {
        rollbacks_ms.push(admin.rollback(component).await?);
    }
    let swapping = load.stop().await?;
    step.finish();

    let audit = testbed::verify::audit_until_clean(store.addresses(), SETTLE, Progress::Silent);
    let report = Report {
        rate: options.rate,
        steady,
        swapping,
        freed: admin
            .freed(filling.iter().chain(&tried), rollbacks_ms.len())
            .await?,
        tried,
        rollbacks_ms,
        memory: [first_memory, last_memory],
        audit: audit.await.context("comparing the data")?,
    };
    write_json(&paths::root().join(RESULTS), &report.json())?;
    println!("{report}");
    Ok(xtask::verdict(report.failures().is_empty()))
}

/// The admin token of this run on this machine.
const TOKEN: &str = "the-token-of-one-swap-test";

/// Starts a store with the course's data, and one host in front of it.
async fn start(binary: &Path) -> Result<(DataStore, testbed::Host)> {
    let store = DataStore::start_for_measuring(paths::target().join("tmp/swap-test")).await?;
    store.migrate(binary)?;
    let dataset = Dataset::random(LAB, RNG_SEED);
    testbed::seed::load(store.addresses(), &dataset, Progress::detect()).await?;
    let in_folder = |name: &str| store.folder().join(name).display().to_string();
    let options = HostOptions::new(binary, paths::app())
        // A separate cache, because nobody needs these hundred versions afterwards.
        .arg("--compile-cache")
        .arg(in_folder("cache"))
        .arg("--state-folder")
        .arg(in_folder("state"))
        .env("STORE_HOST_ADMIN_TOKEN", TOKEN);
    let step = Progress::detect().step("host", 0);
    let host = store.host(options).await?;
    step.finish_with(&host.url(""));
    Ok((store, host))
}
