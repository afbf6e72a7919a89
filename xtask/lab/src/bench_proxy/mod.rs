//! `cargo xtask bench-proxy`: store-proxy against nginx, on the same upstreams, in one run, round by round in turn.

mod instructions;
mod report;
mod servers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::instructions::Instructions;
use self::report::{Report, Sample};
use self::servers::{Balancer, Upstreams};
use crate::measure::{Loaders, Target, write_json};
use xtask::cargo::{cargo, run_step};
use xtask::paths;
use xtask::setup::{self, BENCH, COMPILING, COUNTING};

/// Compare store-proxy with nginx: requests/s, latency at a fixed rate, CPU per request, memory
///
/// Takes about four minutes on two cores, which should have nothing else to do. Each worker count is measured in rounds;
/// a round measures both, one after the other, in alternating order.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds for each number of workers; the table has their medians
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of one measurement; a round has four
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Client connections
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Requests per second at which latency is measured; well below what either can do
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Numbers of workers (nginx) or threads (store-proxy)
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,2")]
    workers: Vec<usize>,
    /// Measure a report that both keep in memory, instead of an answer that they fetch each time
    #[arg(long)]
    cached: bool,
    /// Count the instructions of a request instead, outside the kernel, with valgrind: takes a minute, beside anything else
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "rate", "workers"])]
    instructions: bool,
    /// The file that all samples are written to, as JSON
    #[arg(
        long,
        value_name = "FILE",
        default_value = "loadtest/results/proxy.json"
    )]
    output: PathBuf,
    /// Measure this store-proxy instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

impl Options {
    /// What is asked for.
    fn path(&self) -> &'static str {
        if self.cached {
            "/orders/reports/best-sellers"
        } else {
            "/stocks/5"
        }
    }
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    setup::tools(&[COMPILING, BENCH]).await?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => build().await?,
    };
    let cpus = available_parallelism()
        .context("counting processors")?
        .get();
    ensure!(
        cpus >= 2,
        "two processors are needed: one for the proxy, one for the load"
    );
    let mut report = Report::new(&options, cpus).await?;
    if options.instructions {
        setup::tools(&[COUNTING]).await?;
        report.instructions(Instructions::count(&options, &binary, cpus).await?);
    } else {
        for &workers in &options.workers {
            measure(&options, &binary, workers, cpus, &mut report).await?;
        }
    }
    println!("{report}");
    write_json(&options.output, &report.json())?;
    Ok(ExitCode::SUCCESS)
}

/// Builds store-proxy as it is shipped.
async fn build() -> Result<PathBuf> {
    let build = cargo(["build", "--profile", "dist", "--package", "store-proxy"]);
    run_step("build store-proxy (dist)", build).await?;
    Ok(paths::target().join("dist/store-proxy"))
}

/// All rounds with this number of workers.
async fn measure(
    options: &Options,
    binary: &std::path::Path,
    workers: usize,
    cpus: usize,
    report: &mut Report,
) -> Result<()> {
    // With room for it, load and upstreams keep away from the proxy's processors. With none they share them all.
    let proxy_cpus = format!("0-{}", workers.min(cpus) - 1);
    let other_cpus = if workers < cpus {
        format!("{workers}-{}", cpus - 1)
    } else {
        format!("0-{}", cpus - 1)
    };
    let loaders = Loaders::find_or_install().await?.on(&other_cpus);
    let upstreams = Upstreams::start(&other_cpus).await?;
    let balancers = [
        Balancer::nginx(&[], workers, &proxy_cpus, options.path()).await?,
        Balancer::store_proxy(&[], binary, workers, &proxy_cpus, options.path()).await?,
    ];
    for round in 0..options.rounds {
        let mut order: Vec<&Balancer> = balancers.iter().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for balancer in order {
            let step = format!(
                "{workers} workers, round {}, {}",
                round + 1,
                balancer.name()
            );
            eprintln!("▸ {step}");
            let sample = sample(options, &loaders, balancer)
                .await
                .with_context(|| step)?;
            report.add(workers, round, balancer.name(), sample);
        }
    }
    drop(upstreams);
    Ok(())
}

async fn sample(options: &Options, loaders: &Loaders, balancer: &Balancer) -> Result<Sample> {
    // Connections and caches are warm before the clock starts.
    let target = Target::get(balancer.url());
    loaders.flood(&target, options.connections, 1).await?;
    let before = balancer.cpu_seconds()?;
    let flood = loaders
        .flood(&target, options.connections, options.seconds)
        .await?;
    let cpu_seconds = balancer.cpu_seconds()? - before;
    let memory_kib = balancer.memory_kib()?;
    let latency = loaders
        .pace(&target, options.connections, options.seconds, options.rate)
        .await?;
    Ok(Sample {
        requests_per_second: flood.requests_per_second,
        cpu_seconds_per_100k: cpu_seconds / flood.requests * 100_000.0,
        cpu_busy: cpu_seconds / f64::from(options.seconds),
        p50_ms: latency.p50_ms,
        p99_ms: latency.p99_ms,
        memory_kib,
    })
}
