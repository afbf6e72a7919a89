//! `cargo xtask crash-test`: kills host and MariaDB under a load of orders. Every confirmed order must exist exactly
//! once.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use mysql_async::prelude::Queryable;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use testbed::seed::{Dataset, LAB};
use testbed::{DataStore, Host, HostOptions, Progress};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::measure::{Basket, Orders};
use xtask::build::HOST_PACKAGE;
use xtask::setup::{self, COMPILING, MARIADB, PROCESSES, REDIS};
use xtask::{build, paths};

/// The seed of the random data.
const RNG_SEED: u64 = 42;

/// The time between two crashes.
const BETWEEN_CRASHES: Duration = Duration::from_secs(5);

/// The wait of a buyer before a retry.
const PAUSE: Duration = Duration::from_millis(50);

/// How long an answer may take: longer than the host's own limit.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long the cache may take to follow: one refresh interval and a little more.
const SETTLE: Duration = Duration::from_secs(70);

/// Kill host and MariaDB in turn under a load of orders, and check that every confirmed order is there
///
/// Exits with 1 if a confirmed order is missing or exists twice, if there are orders that nobody placed, or if the data
/// differ at the end.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long the load and the kills go on
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(10..=3600))]
    seconds: u64,
    /// Buyers, each with one order at a time; half of them send an Idempotency-Key and retry until the order is
    /// confirmed
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(2..=1024))]
    buyers: u64,
    /// How orders are committed: grouped or single
    #[arg(long, value_name = "HOW", default_value = "grouped")]
    order_commit: String,
    /// Let all buyers buy one product
    #[arg(long)]
    flash_sale: bool,
    /// Test this `store-host` instead of the one of `cargo xtask build`
    #[arg(long, value_name = "PROGRAM")]
    host: Option<PathBuf>,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    setup::wasm_target().await?;
    setup::tools(&[COMPILING, PROCESSES, MARIADB, REDIS]).await?;
    build::components().await?;
    let binary = match &options.host {
        Some(binary) => binary.clone(),
        None => {
            build::programs(&[HOST_PACKAGE]).await?;
            paths::program(HOST_PACKAGE)
        }
    };
    let mut store = DataStore::start_for_measuring(paths::target().join("tmp/crash-test")).await?;
    store.migrate(&binary)?;
    let dataset = Dataset::random(LAB, RNG_SEED);
    testbed::seed::load(store.addresses(), &dataset, Progress::detect()).await?;
    let before = orders(&store).await?;

    let mut host_options =
        HostOptions::new(&binary, paths::app()).variable("order_commit", &options.order_commit);
    let mut host = store.host(host_options.clone()).await?;
    let url = host.url("/orders");
    // After a crash, the host listens at the same address again.
    let address = host.url("").replace("http://", "");
    host_options.listen = address.parse().context("reading the host's address")?;
    let ends = Arc::new(AtomicBool::new(false));
    let mut buyers = JoinSet::new();
    for number in 0..options.buyers {
        let buyer = Buyer {
            number,
            url: url.clone(),
            is_keyed: number % 2 == 0,
            basket: match options.flash_sale {
                true => Basket::FlashSale,
                false => Basket::Products(1),
            },
            ends: ends.clone(),
        };
        buyers.spawn(buyer.buy());
    }
    let step = Progress::detect().step("orders and crashes", 0);
    let crashes = crash(&options, &mut store, &mut host, &host_options).await;
    ends.store(true, Ordering::Relaxed);
    let mut told = Confirmations::default();
    while let Some(buyer) = buyers.join_next().await {
        told.add(buyer.context("a buyer failed")??);
    }
    step.finish();
    let audit = testbed::verify::audit_until_clean(store.addresses(), SETTLE, Progress::Silent);
    let audit = audit.await.context("comparing the data")?;
    let mut failures = told.failures(&store, before).await?;
    if !audit.is_clean() {
        failures.push(format!("the data differ: {audit:?}"));
    }
    println!(
        "{} crashes; {} orders confirmed, {} of them under a key; {} without a key and of unknown outcome",
        crashes?,
        told.confirmed.len(),
        told.keyed,
        told.unknown
    );
    for failure in &failures {
        println!("✗ {failure}");
    }
    Ok(xtask::verdict(failures.is_empty()))
}

/// Kills and restarts host and MariaDB in turn until the time is over. Returns the number of crashes.
async fn crash(
    options: &Options,
    store: &mut DataStore,
    host: &mut Host,
    host_options: &HostOptions,
) -> Result<u32> {
    let started = Instant::now();
    let mut crashes = 0;
    while started.elapsed() < Duration::from_secs(options.seconds) {
        sleep(BETWEEN_CRASHES).await;
        if crashes % 2 == 0 {
            host.kill();
            *host = store.host(host_options.clone()).await?;
        } else if let Some(mariadb) = &mut store.mariadb {
            mariadb.kill();
            mariadb.start_again().await?;
        }
        crashes += 1;
    }
    Ok(crashes)
}

async fn orders(store: &DataStore) -> Result<u64> {
    let mut mysql = store.mysql().await?;
    let count = mysql.query_first("SELECT COUNT(*) FROM orders").await;
    count.context("counting orders")?.context("no count")
}

/// A client that places one order after the other.
struct Buyer {
    number: u64,
    url: String,
    is_keyed: bool,
    basket: Basket,
    ends: Arc<AtomicBool>,
}

/// What buyers know of their orders from the answers.
#[derive(Default)]
struct Confirmations {
    /// The ids of confirmed orders.
    confirmed: Vec<u64>,
    /// How many of the confirmed orders had a key.
    keyed: usize,
    /// Orders without a key whose answer did not come or left the outcome open.
    unknown: u64,
}

impl Buyer {
    async fn buy(self) -> Result<Confirmations> {
        let client = Client::builder().timeout(PATIENCE).build();
        let client = client.context("making a client")?;
        let mut orders = Orders::new(self.basket, &LAB, self.number);
        let mut told = Confirmations::default();
        let mut count = 0;
        while let Some(body) = orders.next()
            && !self.ends.load(Ordering::Relaxed)
        {
            count += 1;
            let key = self
                .is_keyed
                .then(|| format!("crash-{}-{count}", self.number));
            match place(&client, &self.url, &body, key.as_deref()).await {
                Some(id) => {
                    told.confirmed.push(id);
                    told.keyed += usize::from(self.is_keyed);
                }
                None => told.unknown += 1,
            }
        }
        Ok(told)
    }
}

/// Places an order; with a key, repeats it until it is confirmed.
async fn place(client: &Client, url: &str, body: &str, key: Option<&str>) -> Option<u64> {
    loop {
        let mut request = client.post(url).header(CONTENT_TYPE, "application/json");
        request = request.body(body.to_owned());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(id) = confirmed(request).await {
            return Some(id);
        }
        sleep(PAUSE).await;
        // Without a key, the order may not be sent again.
        key?;
    }
}

async fn confirmed(request: reqwest::RequestBuilder) -> Option<u64> {
    let answer = request.send().await.ok()?;
    if answer.status() != StatusCode::CREATED {
        return None;
    }
    answer.json::<Value>().await.ok()?["order_id"].as_u64()
}

impl Confirmations {
    fn add(&mut self, other: Self) {
        self.confirmed.extend(other.confirmed);
        self.keyed += other.keyed;
        self.unknown += other.unknown;
    }

    /// Compares the orders in MySQL with the answers. `before` is the number of orders before the test. Returns the
    /// differences.
    async fn failures(&self, store: &DataStore, before: u64) -> Result<Vec<String>> {
        let ids: HashSet<u64> = self.confirmed.iter().copied().collect();
        ensure!(!ids.is_empty(), "not one order was placed");
        let mut mysql = store.mysql().await?;
        let all: Vec<u64> = mysql.query("SELECT id FROM orders").await?;
        let all: HashSet<u64> = all.into_iter().collect();
        let mut failures = Vec::new();
        let twice = self.confirmed.len() - ids.len();
        if twice > 0 {
            failures.push(format!("{twice} orders were confirmed to two buyers"));
        }
        let missing = ids.difference(&all).count();
        if missing > 0 {
            failures.push(format!(
                "{missing} confirmed orders are missing from the database"
            ));
        }
        let new = all.len() as u64 - before;
        let most = ids.len() as u64 + self.unknown;
        if new > most {
            failures.push(format!(
                "{new} new orders are in the database, but at most {most} were placed"
            ));
        }
        Ok(failures)
    }
}
