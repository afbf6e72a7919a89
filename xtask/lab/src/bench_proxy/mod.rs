//! `cargo xtask bench-proxy`: measures store-proxy and nginx in turn, on the same upstreams, in one run.

mod goals;
mod instructions;
mod peer;
mod report;
mod row;
mod sample;
mod servers;
mod tracing;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use self::instructions::Instructions;
use self::peer::Competitor;
use self::report::Report;
use self::row::Row;
use self::sample::Sample;
use self::servers::{Balancer, Start, Upstreams, run_folder};
use crate::measure::{Loaders, idle_connection_kib, results_file, write_json};
use xtask::cargo::{cargo, cargo_step};
use xtask::paths;
use xtask::setup::{self, BENCH, COMPILING, COUNTING};

/// Compare store-proxy with nginx: requests/s, latency at a fixed rate, CPU per request, memory
///
/// Takes about six minutes on two cores, which should have nothing else to do. Each row is measured in rounds; a round
/// measures all, one after the other, in alternating order.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rows to measure [default: all but `cached`; with `--tracing` `plain`, `http2`, `post` and `cached`]
    #[arg(long, value_name = "ROW,…", value_delimiter = ',', value_enum)]
    rows: Vec<Row>,
    /// Rounds of each row; the table has their medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of one measurement; a round has two for each proxy
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Client connections; over HTTP/2, requests at once, eight on each connection
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Requests per second at which latency is measured, well below what either proxy can serve [default: 5000; 1000
    /// for answers of 64 KiB, and where each request has a connection of its own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Numbers of workers (nginx) or threads (store-proxy), one after the other
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1")]
    workers: Vec<usize>,
    /// Only count the instructions of a request outside the kernel, with valgrind: takes minutes; other work on the
    /// machine does no harm
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "rate", "workers", "peers"])]
    instructions: bool,
    /// Only compare store-proxy with itself: without traces, with 1 % of them sent, and with all of them sent; for any
    /// row but `idle`
    #[arg(long, conflicts_with_all = ["instructions", "rate", "workers", "peers"])]
    tracing: bool,
    /// The file that all samples are written to, as JSON [default: loadtest/results/proxy.json or proxy-tracing.json]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Another proxy to measure in the same run: `haproxy`, or `haproxy=PROGRAM`
    #[arg(long = "peer", value_name = "NAME[=PROGRAM]", value_parser = Competitor::parse)]
    peers: Vec<Competitor>,
    /// Measure this store-proxy instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

impl Options {
    /// The rows to measure, in order.
    fn rows(&self) -> &[Row] {
        match &self.rows[..] {
            [] if self.tracing => &Row::TRACED,
            [] => &Row::DEFAULTS,
            rows => rows,
        }
    }

    /// Why the options can't be used together, if so.
    fn contradiction(&self) -> Option<String> {
        if !(self.tracing && self.rows.contains(&Row::Idle)) {
            return None;
        }
        let all = Row::value_variants().iter();
        let measured = all.filter(|row| **row != Row::Idle).map(|row| row.name());
        let measured: Vec<_> = measured.collect();
        Some(format!(
            "`idle` has no requests to trace; --rows for --tracing: {}",
            measured.join(", ")
        ))
    }

    fn output(&self, name: &str) -> PathBuf {
        results_file(self.output.as_deref(), name)
    }
}

/// The exit code of clap for options that it refuses.
const WRONG_OPTIONS: u8 = 2;

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    if let Some(contradiction) = options.contradiction() {
        eprintln!("error: {contradiction}");
        return Ok(ExitCode::from(WRONG_OPTIONS));
    }
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
    if options.tracing {
        let costs = tracing::run(&options, &binary, cpus).await?;
        costs.report(&options.output("proxy-tracing")).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::new(&options, cpus).await?;
    if options.instructions {
        setup::tools(&[COUNTING]).await?;
        report.instructions(Instructions::count(&options, &binary, cpus).await?);
    } else {
        for &workers in &options.workers {
            let place = CpuSets::of(workers, cpus);
            let loaders = Loaders::on(&place.others);
            for &row in options.rows() {
                measure(&options, &binary, &place, row, &loaders, &mut report).await?;
            }
        }
    }
    println!("{report}");
    write_json(&options.output("proxy"), &report.json())?;
    Ok(ExitCode::SUCCESS)
}

/// Builds store-proxy as it is shipped.
async fn build() -> Result<PathBuf> {
    let build = cargo(["build", "--profile", "dist", "--package", "store-proxy"]);
    cargo_step("build store-proxy (dist)", build).await?;
    Ok(paths::target().join("dist/store-proxy"))
}

/// The processors for each task, in the form of taskset.
struct CpuSets {
    workers: usize,
    balancer: String,
    /// The processors of the load generator and the upstreams.
    others: String,
}

impl CpuSets {
    /// If there are enough processors, load and upstreams get other processors than the proxy. Otherwise all share all
    /// of them.
    fn of(workers: usize, cpus: usize) -> Self {
        let first = if workers < cpus { workers } else { 0 };
        Self {
            workers,
            balancer: format!("0-{}", workers.min(cpus) - 1),
            others: format!("{first}-{}", cpus - 1),
        }
    }
}

/// Runs all rounds of this row, on freshly started balancers.
async fn measure(
    options: &Options,
    binary: &Path,
    place: &CpuSets,
    row: Row,
    loaders: &Loaders,
    report: &mut Report,
) -> Result<()> {
    let _upstreams = Upstreams::start(&place.others).await?;
    let start = Start {
        wrapper: &[],
        workers: place.workers,
        cpus: &place.balancer,
    };
    let mut balancers = vec![
        Balancer::nginx(&start).await?,
        Balancer::store_proxy(&start, binary).await?,
    ];
    for peer in &options.peers {
        balancers.push(Balancer::peer(&start, peer).await?);
    }
    // Only the first measurement of idle connections is valid: later ones would find memory that was used before.
    let rounds = if row == Row::Idle { 1 } else { options.rounds };
    for round in 0..rounds {
        let mut order: Vec<&Balancer> = balancers.iter().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for balancer in order {
            let (row_name, name) = (row.name(), balancer.name());
            let step = format!(
                "{row_name}, {} workers, round {}, {name}",
                place.workers,
                round + 1
            );
            eprintln!("▸ {step}");
            if row == Row::Idle {
                let memory_kib = || balancer.memory_kib();
                let each = idle_connection_kib(&balancer.base(false), row.path(), memory_kib).await;
                report.add_idle(place.workers, name, each.context(step)?);
                continue;
            }
            let target = row.target(&balancer.base(row.is_https()), &run_folder()?);
            let sample = Sample::take(options, loaders, balancer, row, &target).await;
            report.add(row, place.workers, round, name, sample.context(step)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn traces_are_measured_of_rows_with_requests_only() {
        let contradiction = |arguments: &str| {
            let arguments = ["bench-proxy"].into_iter().chain(arguments.split(' '));
            let command = Command::try_parse_from(arguments).expect("clap takes them");
            command.options.contradiction()
        };
        for arguments in ["--tracing", "--tracing --rows plain,https", "--rows idle"] {
            assert_eq!(contradiction(arguments), None, "{arguments}");
        }
        for arguments in ["--tracing --rows idle", "--rows plain,idle --tracing"] {
            let line = contradiction(arguments).expect("idle can't be traced");
            let rows = "plain, https, http2, large, https-large, http2-large, post, close, cached";
            assert!(line.ends_with(rows), "{line}");
        }
    }
}
