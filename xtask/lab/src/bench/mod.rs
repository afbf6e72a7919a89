//! `cargo xtask bench`: store-host against the same logic without WebAssembly, side by side in one run.

mod goals;
mod growth;
mod instructions;
mod peer;
mod refreshes;
mod report;
mod rounds;
mod routes;
mod scale;
mod sides;
mod startup;
mod table;
mod tracing;
mod train;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};

use self::peer::Competitor;
use self::report::Report;
use self::routes::Route;
use self::sides::Bench;
use crate::measure::{Loaders, results_file, write_json};
use xtask::build;
use xtask::setup::{self, COMPILING, LOAD, MARIADB, PROCESSES, REDIS};

/// Compare store-host with its native twin: requests/s, latency at a fixed rate, CPU per request, memory, round trips
///
/// Builds both as they are shipped (minutes the first time), starts MariaDB and Redis and fills them with the lab's
/// data. Each row is measured in rounds that visit all servers in alternating order. docs/performance.md explains the
/// figures.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: Option<Measurement>,
    /// Routes to measure [default: all]
    #[arg(long, value_name = "ROUTE,…", value_delimiter = ',', value_enum)]
    only: Vec<Route>,
    /// Client connections
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,16,32,64,256", value_parser = clap::value_parser!(u32).range(1..))]
    connections: Vec<u32>,
    /// Connections of the latency measurement
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    latency_connections: u32,
    /// Requests per second at which latency is measured [default: 70 % of what the slower of host and twin did; for
    /// orders, 70 % of what the host did with `order_commit = single`; for a peer, no more than 70 % of what it did]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Only count the instructions of a request outside the kernel, with valgrind: takes minutes; other work on the
    /// machine does no harm
    #[arg(long, conflicts_with_all = ["connections", "rate", "quick", "peers", "latency_connections"])]
    instructions: bool,
    /// One short round at 32 connections, to see whether everything works
    #[arg(long)]
    quick: bool,
    /// Only compare the host with itself: without traces, with 1 % of them sent, and with all of them sent
    #[arg(long)]
    tracing: bool,
    /// Another server to measure in the same run: one that serves the same store's routes, by its URL, or, for the
    /// route `empty` alone, `wasmtime=PROGRAM` (started as `wasmtime serve`) or `wash=PROGRAM` (as `wash dev`)
    #[arg(long = "peer", value_name = "NAME=URL", value_parser = Competitor::parse)]
    peers: Vec<Competitor>,
    #[command(flatten)]
    common: CommonOptions,
}

#[derive(Debug, Subcommand)]
enum Measurement {
    Startup(startup::Options),
    Growth(growth::Options),
    Scale(scale::Options),
    Train(train::Options),
}

/// Options that all measurements have.
#[derive(Clone, Debug, Args)]
struct CommonOptions {
    /// Rounds; the table has their medians
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of one measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// The file that all samples are written to, as JSON [default: loadtest/results/bench.json, bench-tracing.json,
    /// bench-startup.json, bench-growth.json or bench-scale.json]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Measure this `store-host` instead of building one
    #[arg(long, value_name = "PROGRAM")]
    host: Option<PathBuf>,
    /// Measure this `store-native` instead of building one
    #[arg(long, value_name = "PROGRAM")]
    native: Option<PathBuf>,
}

/// The programs that are measured.
struct Programs {
    host: PathBuf,
    native: PathBuf,
}

/// The processors for each task, in the form of taskset.
struct Cpus {
    /// One processor for the measured server; the other servers are idle meanwhile.
    server: String,
    load: String,
    /// MariaDB and Redis. With only two processors they share the load generator's, so the measured server still has
    /// its own; its processor time per request shows whether it was the bottleneck.
    stores: String,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    match options.what {
        Some(Measurement::Startup(options)) => return startup::run(options).await,
        Some(Measurement::Growth(options)) => return growth::run(options).await,
        Some(Measurement::Scale(options)) => return scale::run(options).await,
        Some(Measurement::Train(options)) => return train::run(options).await,
        None if options.instructions => return instructions::run(&options).await,
        None => {}
    }
    let options = if options.quick {
        Options {
            connections: vec![32],
            common: CommonOptions {
                rounds: 1,
                seconds: 1,
                ..options.common
            },
            ..options
        }
    } else {
        options
    };
    if options.tracing {
        return tracing::run(&options).await;
    }
    let programs = options.common.programs().await?;
    let cpus = Cpus::split()?;
    let loaders = Loaders::on(&cpus.load);
    if options.peers.iter().any(Competitor::is_empty) {
        build::empty_component().await?;
    }
    let bench = Bench::start(&programs, &cpus, &options.peers).await?;
    let mut report = Report::new(&options, &cpus).await;
    let routes = if options.only.is_empty() {
        Route::ALL.to_vec()
    } else {
        options.only.clone()
    };
    let mut outcome = Ok(());
    for route in routes {
        outcome = rounds::measure(&options, &loaders, &bench, route, &mut report).await;
        if outcome.is_err() {
            break;
        }
    }
    // Prints also what was measured before a failure.
    println!("{report}");
    let output = options.common.output("bench");
    write_json(&output, &report.json())?;
    outcome.map(|()| ExitCode::SUCCESS)
}

impl CommonOptions {
    /// Installs and builds what the measurements need.
    async fn programs(&self) -> Result<Programs> {
        let host = self.host().await?;
        let native = match &self.native {
            Some(native) => native.clone(),
            None => build::dist_native().await?,
        };
        Ok(Programs { host, native })
    }

    /// As [`Self::programs`], without the native twin.
    async fn host(&self) -> Result<PathBuf> {
        install().await?;
        build::components().await?;
        match &self.host {
            Some(host) => Ok(host.clone()),
            None => build::dist_host().await,
        }
    }

    fn output(&self, name: &str) -> PathBuf {
        results_file(self.output.as_deref(), name)
    }
}

async fn install() -> Result<()> {
    setup::wasm_target().await?;
    setup::tools(&[COMPILING, PROCESSES, MARIADB, REDIS, LOAD]).await
}

impl Cpus {
    fn split() -> Result<Self> {
        let count = available_parallelism()
            .context("counting processors")?
            .get();
        ensure!(
            count >= 2,
            "two processors are needed: one for the server, one for the load"
        );
        let stores = match count {
            2 => "1".to_owned(),
            more => format!("2-{}", more - 1),
        };
        Ok(Self {
            server: "0".to_owned(),
            load: "1".to_owned(),
            stores,
        })
    }
}
