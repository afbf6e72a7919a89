//! `cargo xtask bench growth`: whether ten times the data costs more, and what connections cost.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use testbed::seed::{Dataset, LAB, Size};
use testbed::{DataStore, Host};
use tokio::time::sleep;

use super::refreshes::refresh_ms;
use super::routes::Route;
use super::sides::{RNG_SEED, host_options, start_store};
use super::{CommonOptions, Cpus};
use crate::measure::{
    IDLE_CONNECTIONS, Loaders, Target, TextTable, commit, cpu_seconds, idle_connection_kib, median,
    memory_kib, processor, write_json,
};

/// How many times more data the second store has.
const TIMES: usize = 10;

const CONNECTIONS: u32 = 32;

/// The clients that order at once; the host's pool has 16 connections.
const CROWD: u32 = 1000;

/// How long a host is idle before its memory is read: longer than an idle instance lives (10 s).
const REST: Duration = Duration::from_secs(15);

/// Costs at 80,000 and 800,000 orders; memory at rest and for idle connections; 1,000 orders at once through one pool
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Orders of the smaller store; the larger has ten times as many
    #[arg(long, value_name = "N", default_value_t = LAB.orders as u32)]
    orders: u32,
    #[command(flatten)]
    common: CommonOptions,
}

/// A store of one size, with its host.
struct SizedStore {
    orders: usize,
    // Dropped before the store, because it uses the store's servers.
    host: Host,
    _store: DataStore,
}

/// The samples of one store.
#[derive(Default)]
struct Costs {
    report_cpu: Vec<f64>,
    order_cpu: Vec<f64>,
    order_ms: Vec<f64>,
    refresh_ms: Vec<f64>,
}

/// The figures that are measured once, on the smaller store.
struct FixedCosts {
    crowd_requests: f64,
    idle_kib: u64,
    connection_kib: f64,
}

pub(super) async fn run(options: Options) -> Result<ExitCode> {
    let common = &options.common;
    let programs = common.programs().await?;
    let cpus = Cpus::split()?;
    let loaders = Loaders::on(&cpus.load);
    let orders = options.orders as usize;
    let small = SizedStore::start(orders, &programs.host, &cpus).await?;
    let large = SizedStore::start(orders * TIMES, &programs.host, &cpus).await?;
    let mut costs = [Costs::default(), Costs::default()];
    for round in 0..common.rounds {
        let mut pairs: Vec<_> = [&small, &large].into_iter().zip(&mut costs).collect();
        if round % 2 == 1 {
            pairs.reverse();
        }
        for (grown, costs) in pairs {
            eprintln!("▸ {} orders, round {}", grown.orders, round + 1);
            grown.measure(&loaders, common.seconds, costs).await?;
        }
    }
    let once = small.measure_once(&loaders, common.seconds).await?;
    let about = format!("{}, commit {}", processor(), commit().await);
    print(&about, orders, &costs, &once);
    let lines = ROWS.map(
        |(what, of, _)| json!({ "what": what, "small": of(&costs[0]), "large": of(&costs[1]) }),
    );
    let all = json!({
        "about": about,
        "orders": [orders, orders * TIMES],
        "costs": lines,
        "idle_kib": once.idle_kib,
        "connection_kib": once.connection_kib,
        "crowd_requests": once.crowd_requests,
    });
    write_json(&common.output("bench-growth"), &all)?;
    Ok(ExitCode::SUCCESS)
}

/// A line of the table: its name, its samples, and the largest allowed factor for ten times the data.
type Row = (&'static str, fn(&Costs) -> &Vec<f64>, f64);

const ROWS: [Row; 4] = [
    ("refresh, ms", |costs| &costs.refresh_ms, 1.2),
    (
        "report read, CPU s / 100,000",
        |costs| &costs.report_cpu,
        1.2,
    ),
    (
        "POST /orders, CPU s of the host / 100,000",
        |costs| &costs.order_cpu,
        1.1,
    ),
    ("POST /orders, ms each", |costs| &costs.order_ms, 1.1),
];

fn print(about: &str, orders: usize, costs: &[Costs; 2], once: &FixedCosts) {
    println!("{about}\n");
    let mut table = TextTable::new([
        "",
        &format!("{orders} orders"),
        &format!("{} orders", orders * TIMES),
        "ratio",
        "goal",
    ]);
    for (name, of, goal) in ROWS {
        let middle = |costs: &Costs| median(of(costs).iter().copied()).unwrap_or(f64::NAN);
        let (small, large) = (middle(&costs[0]), middle(&costs[1]));
        let ratio = large / small;
        let figures = [small, large, ratio].map(|figure| format!("{figure:.2}"));
        let cells = [name.to_owned()].into_iter().chain(figures);
        table.row(cells.chain([format!("≤ {goal:.2}")]));
    }
    let mut others = TextTable::new(["", "measured", "goal"]);
    let idle_mib = once.idle_kib as f64 / 1024.0;
    let crowd = format!("errors of {CROWD} clients ordering at once");
    for (name, measured, goal) in [
        ("memory at rest, MiB", format!("{idle_mib:.1}"), "≤ 80"),
        (
            "memory of an idle connection, KiB",
            format!("{:.1}", once.connection_kib),
            "≤ 64",
        ),
        (&crowd, format!("0 of {:.0}", once.crowd_requests), "0"),
    ] {
        others.row([name.to_owned(), measured, goal.to_owned()]);
    }
    print!("{}\n{}", table.markdown(), others.markdown());
}

impl SizedStore {
    async fn start(orders: usize, binary: &Path, cpus: &Cpus) -> Result<Self> {
        let data = Dataset::random(Size { orders, ..LAB }, RNG_SEED);
        let store = start_store(binary, cpus, &data).await?;
        let host = host_options(binary, cpus)
            .arg(format!("--max-connections={}", IDLE_CONNECTIONS + 1000))
            .variable("report_refresh_seconds", "1");
        Ok(Self {
            orders,
            host: store.host(host).await?,
            _store: store,
        })
    }

    async fn measure_once(&self, loaders: &Loaders, seconds: u32) -> Result<FixedCosts> {
        let crowd = loaders
            .flood(&self.target(Route::Place), CROWD, 2 * seconds)
            .await
            .with_context(|| format!("{CROWD} clients that order at once"))?;
        sleep(REST).await;
        let memory_kib = || memory_kib(self.host.process().id());
        let (idle_kib, base) = (memory_kib()?, self.host.url(""));
        Ok(FixedCosts {
            crowd_requests: crowd.requests,
            idle_kib,
            connection_kib: idle_connection_kib(&base, "/health-check", memory_kib).await?,
        })
    }

    fn target(&self, route: Route) -> Target {
        route.target(&self.host.url(""))
    }

    async fn measure(&self, loaders: &Loaders, seconds: u32, costs: &mut Costs) -> Result<()> {
        let process = self.host.process().id();
        for (route, cpu) in [
            (Route::Report, &mut costs.report_cpu),
            (Route::Place, &mut costs.order_cpu),
        ] {
            let target = self.target(route);
            loaders.flood(&target, CONNECTIONS, 1).await?;
            let before = cpu_seconds(process)?;
            let flood = loaders.flood(&target, CONNECTIONS, seconds).await?;
            let used = cpu_seconds(process)? - before;
            cpu.push(used / flood.requests * 100_000.0);
            if route == Route::Place {
                costs.order_ms.push(1000.0 / flood.requests_per_second);
            }
        }
        costs.refresh_ms.push(refresh_ms(&self.host).await?);
        Ok(())
    }
}
