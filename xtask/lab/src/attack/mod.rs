//! `cargo xtask attack`: one client attacks, and other clients (its neighbours) are measured before, during and after
//! the attack.
//!
//! `list` contains the attacks; each kind of target has a file. A `scene` is an attacker's view: the addresses that it
//! knows and the answers that it gets. With `http1` and `http2` an attacker can send what no library would.
//! `neighbours` are the clients that must notice nothing, `rig` starts the servers, `round` runs one attack with the
//! measurements around it, `report` makes the table.

mod admin;
mod backends;
mod bodies;
mod graphql;
mod heads;
mod http1;
mod http2;
mod keys;
mod list;
mod messages;
mod neighbours;
mod readers;
mod report;
mod rig;
mod round;
mod scene;
mod streams;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use testbed::Progress;
use tokio::time::sleep;

use self::list::Attack;
use self::report::Report;
use self::rig::Rig;
use crate::measure::write_json;
use xtask::build::{HOST_PACKAGE, PROXY_PACKAGE};
use xtask::setup::{self, COMPILING, MARIADB, PROCESSES, REDIS};
use xtask::{build, paths};

/// How long neighbours send requests before the first measurement.
const WARM_UP: Duration = Duration::from_secs(3);

/// Attack the store from one client address, and measure clients at other addresses before, during and after the attack
///
/// Exits with 1 if a request of the other clients failed, or if the attacker got an answer that is not documented. The
/// table also shows how much slower the other clients' requests became, which changes the exit code only with
/// `--max-ratio`; docs/CONFORMANCE.md explains it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these attacks, by their names in the table [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Seconds that each attack lasts; as many are measured before it, and half as many afterwards
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// The servers that attackers and other clients connect to
    #[arg(long, value_enum, default_value_t = AttackRoute::Both)]
    through: AttackRoute,
    /// Requests per second of all other clients together; two in ten are orders
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Products of the store: an overview of 100000 has 11 MB
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    products: u32,
    /// Nice value of the attacker's threads; high by default, because real attackers have machines of their own
    #[arg(long, value_name = "N", default_value_t = 19, value_parser = clap::value_parser!(i32).range(0..=19))]
    nice: i32,
    /// Exit with 1, too, if the other clients' 99th percentile rises more than N times during an attack [default: only
    /// show it]
    #[arg(long, value_name = "N", value_parser = ratio, conflicts_with = "quick")]
    max_ratio: Option<f64>,
    /// Measure during the attacks only
    #[arg(long)]
    quick: bool,
    /// Write all measurements to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Attack this `store-host` instead of the one of `cargo xtask build`
    #[arg(long, value_name = "PROGRAM", requires = "proxy")]
    host: Option<PathBuf>,
    /// Attack this `store-proxy` instead of the one of `cargo xtask build`
    #[arg(long, value_name = "PROGRAM", requires = "host")]
    proxy: Option<PathBuf>,
}

/// Which servers the clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AttackRoute {
    Host,
    Proxy,
    Both,
}

/// One server that clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum AttackTarget {
    Host,
    Proxy,
}

impl AttackRoute {
    fn ways(self) -> &'static [AttackTarget] {
        match self {
            Self::Host => &[AttackTarget::Host],
            Self::Proxy => &[AttackTarget::Proxy],
            Self::Both => &[AttackTarget::Host, AttackTarget::Proxy],
        }
    }
}

impl Options {
    /// The attacks that the user selected.
    fn attacks(&self) -> Result<Vec<&'static Attack>> {
        for name in &self.only {
            if !list::ATTACKS.iter().any(|attack| attack.is_called(name)) {
                let names: Vec<&str> = list::ATTACKS.iter().map(|attack| attack.name).collect();
                bail!(
                    "--only: there is no attack `{name}`; there are {}",
                    names.join(", ")
                );
            }
        }
        let is_asked_for = |attack: &&Attack| {
            self.only.is_empty() || self.only.iter().any(|name| attack.is_called(name))
        };
        Ok(list::ATTACKS.iter().filter(is_asked_for).collect())
    }
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let attacks = options.attacks()?;
    let (host, proxy) = match (&options.host, &options.proxy) {
        (Some(host), Some(proxy)) => (host.clone(), proxy.clone()),
        _ => {
            build_all().await?;
            (paths::program(HOST_PACKAGE), paths::program(PROXY_PACKAGE))
        }
    };
    let length = Duration::from_secs(options.seconds.into());
    let rig = Rig::start(&host, &proxy, options.products, length).await?;
    let plan = round::Plan {
        length,
        rate: options.rate,
        nice: options.nice,
        is_quick: options.quick,
    };
    let ways = options.through.ways();
    let count = attacks.len() * ways.len();
    if !plan.is_quick {
        warm_up(&rig, ways, &plan).await?;
    }
    let step = Progress::detect().step("attacks", count as u64);
    let mut report = Report::new(options.max_ratio);
    for attack in attacks {
        for way in ways {
            report.add(round::run(&rig, attack, *way, &plan).await?);
            step.advance(1);
        }
    }
    step.finish();
    println!("{report}");
    if let Some(path) = &options.json {
        write_json(path, &report.json())?;
    }
    Ok(xtask::verdict(report.is_good()))
}

fn ratio(text: &str) -> Result<f64> {
    let ratio: f64 = text.parse().context("expected a number like 1.5")?;
    ensure!(ratio.is_finite() && ratio >= 1.0, "at least 1");
    Ok(ratio)
}

/// Before the first measurement, connections are opened, instances made and pages faulted in.
async fn warm_up(rig: &Rig, ways: &[AttackTarget], plan: &round::Plan) -> Result<()> {
    for way in ways {
        let clients = neighbours::start(&rig.url(*way), plan.rate, &rig.size).await?;
        sleep(WARM_UP).await;
        clients.stop().await?;
    }
    Ok(())
}

async fn build_all() -> Result<()> {
    setup::wasm_target().await?;
    setup::tools(&[COMPILING, PROCESSES, MARIADB, REDIS]).await?;
    build::components().await?;
    build::test_guest().await?;
    build::programs(&[HOST_PACKAGE, PROXY_PACKAGE]).await
}
