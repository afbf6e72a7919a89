//! `cargo xtask attack`: one client attacks, and its neighbours are measured before, meanwhile and afterwards.
//!
//! `list` has the attacks; there is a file for each kind of thing that they aim at. A `scene` is what an attacker knows
//! and is told; with `http1` and `http2` it can send what no library would. `neighbours` are the clients that must
//! notice nothing, `rig` the servers, `round` one attack with what was measured around it, `report` the table.

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

use anyhow::{Result, bail};
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

/// How long neighbours ask before anything is measured.
const WARM_UP: Duration = Duration::from_secs(3);

/// Attack the store from one client address, and measure the clients at other addresses before, meanwhile and afterwards
///
/// Exits with 1 if a request of theirs failed, or if the attacker was told something else than what is documented. How
/// much slower they became is shown. docs/CONFORMANCE.md explains the table.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these attacks, by their names in the table [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Seconds that each attack lasts; as many are measured before it, and half as many afterwards
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Where both attackers and neighbours connect to
    #[arg(long, value_enum, default_value_t = AttackRoute::Both)]
    through: AttackRoute,
    /// Requests a second of all neighbours together; two in ten are orders
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Products of the store: an overview of 100000 has 11 MB
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    products: u32,
    /// Priority of the attacker's threads, as of nice(1); low by default, as real attackers have machines of their own
    #[arg(long, value_name = "N", default_value_t = 19, value_parser = clap::value_parser!(i32).range(0..=19))]
    nice: i32,
    /// Measure during the attacks only
    #[arg(long)]
    quick: bool,
    /// Write all that was measured to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Attack this `store-host` instead of the one of `cargo xtask build`
    #[arg(long, value_name = "PROGRAM", requires = "proxy")]
    host: Option<PathBuf>,
    /// Attack this `store-proxy` instead of the one of `cargo xtask build`
    #[arg(long, value_name = "PROGRAM", requires = "host")]
    proxy: Option<PathBuf>,
}

/// What stands between clients and the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AttackRoute {
    Host,
    Proxy,
    Both,
}

/// What is connected to.
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
    /// The attacks that were asked for.
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
    let mut report = Report::default();
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

/// Connections are opened, instances made and pages faulted in before anything is measured.
async fn warm_up(rig: &Rig, ways: &[AttackTarget], plan: &round::Plan) -> Result<()> {
    for way in ways {
        let clients = neighbours::start(&rig.url(*way), plan.rate, &rig.size)?;
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
