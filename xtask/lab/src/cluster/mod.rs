//! `cargo xtask cluster`: a whole fleet on one machine, and what happens to orders when members fail.
//!
//! `members` starts the members (`caches` the cache members), each at its seat in the `network`; `health` checks
//! whether they are well. With `--chaos`, the `plan` says which member suffers which fault, and `blows` inflicts it.
//! Meanwhile `buyer` and `reader`, each a `client` of both proxies, record their `history`. `check` and `compare`
//! compare the history with the databases, and `report` prints the table with each `outage`.

mod blows;
mod buyer;
mod caches;
mod chaos;
mod check;
mod client;
mod compare;
mod health;
mod history;
mod members;
mod network;
mod outage;
mod picture;
mod plan;
mod reader;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use clap::Args;
use testbed::seed::{Dataset, Size};
use testbed::{Replication, new_folder};

use self::chaos::Chaos;
use self::members::{Cluster, Programs};
use self::network::{Choice, Network};
use self::plan::Fault;
use xtask::build::{HOST_PACKAGE, PROXY_PACKAGE};
use xtask::mysql::TestMysql;
use xtask::setup::{self, COMPILING, GALERA, MARIADB, NAMESPACES, PROCESSES, PROMETHEUS, REDIS};
use xtask::stop_signals::{INTERRUPTED, StopSignals};
use xtask::{build, paths};

/// The seed of the random data.
const RNG_SEED: u64 = 42;

/// The size of the store's data.
const SIZE: Size = Size {
    users: 100,
    products: 1_000,
    orders: 2_000,
};

/// The stock of the products that belong to one buyer each: more than any buyer buys.
const PLENTY: i64 = 1_000_000_000;

/// Start a whole fleet on this machine: three MariaDB with Galera, three Redis with Sentinel, three hosts, two proxies,
/// Prometheus
///
/// Prints the address of each, and runs until Ctrl-C. As root, each member has its own network namespace; otherwise
/// they share loopback. With --chaos the command ends by itself: clients place, read and cancel orders while members
/// are killed, stopped, restarted and cut off one after the other; then all answers to clients are compared with the
/// databases. Exits with 1 if anything was lost, done twice, or done although it had been refused. docs/CLUSTER.md
/// explains the table. With --mysql, the databases are three MySQL with Group Replication.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Put load on the fleet and let members fail for this long, for example 120s or 5m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    chaos: Option<Duration>,
    /// Decides which member suffers which fault, in which order: the same number gives the same order
    #[arg(long, value_name = "N", default_value_t = 42, requires = "chaos")]
    seed: u64,
    /// Only these faults, once each in this order, for example database-writer.kill,host.cut-off
    #[arg(long, value_name = "FAULTS", value_delimiter = ',', requires = "chaos", value_parser = Fault::named)]
    only: Vec<Fault>,
    /// Number of buyers; a third of them send no Idempotency-Key. There are half as many readers
    #[arg(long, value_name = "N", default_value_t = 18, requires = "chaos", value_parser = clap::value_parser!(u64).range(3..=90))]
    buyers: u64,
    /// Start MySQL with Group Replication instead of MariaDB with Galera: a mysqld, or the folder of an unpacked MySQL
    // Read by `run`, as clap would print a refused value: a URL may contain a password.
    #[arg(long, value_name = "PATH")]
    mysql: Option<String>,
    /// The network between the members
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    network: Choice,
    /// Start this `store-host` instead of the one of `cargo xtask build`
    #[arg(long, value_name = "PROGRAM", requires = "proxy")]
    host: Option<PathBuf>,
    /// Start this `store-proxy` instead of the one of `cargo xtask build`
    #[arg(long, value_name = "PROGRAM", requires = "host")]
    proxy: Option<PathBuf>,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let replication = replication(&options)?;
    let programs = programs(&options).await?;
    let mut signals = StopSignals::new()?;
    tokio::select! {
        // When a signal comes, this future is dropped, which kills all members and removes their network.
        ended = start_and_use(&options, &programs, replication) => ended,
        () = signals.next() => {
            eprintln!("stopped");
            let asked = options.chaos.is_none();
            Ok(if asked { ExitCode::SUCCESS } else { ExitCode::from(INTERRUPTED) })
        }
    }
}

fn replication(options: &Options) -> Result<Replication> {
    let Some(mysql) = &options.mysql else {
        return Ok(Replication::Galera);
    };
    let mysqld = mysql.parse::<TestMysql>().and_then(TestMysql::into_program);
    let mysqld = mysqld.context("--mysql")?;
    let replication = Replication::group_replication(mysqld);
    replication.map_err(Error::msg).context("--mysql")
}

async fn programs(options: &Options) -> Result<Programs> {
    let mut tools = vec![PROCESSES, REDIS, PROMETHEUS];
    if options.mysql.is_none() {
        tools.extend([MARIADB, GALERA]);
    }
    if let (Some(host), Some(proxy)) = (&options.host, &options.proxy) {
        setup::tools(&tools).await?;
        return Ok(Programs {
            host: host.clone(),
            proxy: proxy.clone(),
        });
    }
    setup::wasm_target().await?;
    setup::tools(&tools).await?;
    setup::tools(&[COMPILING]).await?;
    if options.network != Choice::Loopback {
        setup::tools(&[NAMESPACES]).await?;
    }
    build::components().await?;
    build::programs(&[HOST_PACKAGE, PROXY_PACKAGE]).await?;
    Ok(Programs {
        host: paths::program(HOST_PACKAGE),
        proxy: paths::program(PROXY_PACKAGE),
    })
}

async fn start_and_use(
    options: &Options,
    programs: &Programs,
    replication: Replication,
) -> Result<ExitCode> {
    let network = Network::new(options.network)?;
    let folder = new_folder(&paths::target().join("tmp/cluster"), "fleet")?;
    let dataset = dataset(options.buyers);
    let mut cluster = Cluster::start(folder, programs, replication, network, &dataset).await?;
    println!("{}", picture::picture(&cluster));
    let Some(duration) = options.chaos else {
        println!("The fleet is up. Ctrl-C stops it.\n");
        return std::future::pending().await;
    };
    let chaos = Chaos {
        duration,
        seed: options.seed,
        only: options.only.clone(),
        buyers: options.buyers,
        products: SIZE.products as u64,
    };
    chaos.run(&mut cluster).await
}

/// Random data, with plenty of the products that identify the buyers' orders, and none of the last product.
fn dataset(buyers: u64) -> Dataset {
    let mut dataset = Dataset::random(SIZE, RNG_SEED);
    for product in dataset.products.iter_mut().take(buyers as usize) {
        product.level.quantity = PLENTY;
    }
    if let Some(last) = dataset.products.last_mut() {
        last.level.quantity = 0;
    }
    dataset
}
