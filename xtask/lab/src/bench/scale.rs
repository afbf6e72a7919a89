//! `cargo xtask bench scale`: the costs of a store that has grown for years.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use mysql_async::prelude::Queryable;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use testbed::seed::{Dataset, LAB, Size};
use testbed::verify::audit;
use testbed::{DataStore, Host, Progress};
use tokio::time::sleep;

use super::refreshes::refresh_ms;
use super::routes::Route;
use super::sides::{RNG_SEED, host_options, start_store};
use super::{CommonOptions, Cpus};
use crate::measure::{
    Loaders, Numbers, TextTable, commit, cpu_seconds, median, processor, quantile, write_json,
};

/// A user with many orders, who is deleted.
const USER: i64 = 1;

/// The number of orders that are given to that user, beside a random share of the others such as every user has.
const ORDERS_OF_USER: u32 = 100_000;

/// The orders that are read one by one, first from MySQL and then from Redis.
const READ_ORDERS: usize = 10_000;

const CONNECTIONS: u32 = 64;

/// How long the reports are watched after Redis was emptied.
const WATCHED: Duration = Duration::from_secs(5);

/// The time limit for the deletion of one user.
const DELETION_LIMIT: Duration = Duration::from_secs(600);

/// The wait before a request is repeated, if the answer doesn't ask for another.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest wait before a request is repeated, whatever the answer asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A store with millions of orders: the costs of orders, reads, refreshes, an empty Redis, an audit and a deletion, and
/// the disk space of an order
///
/// Fills the store first; all of it took some seven minutes on two cores. Each figure is printed as soon as it is
/// known.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Orders in the store
    #[arg(long, value_name = "N", default_value_t = 8_000_000, value_parser = clap::value_parser!(u32).range(i64::from(ORDERS_OF_USER)..))]
    orders: u32,
    #[command(flatten)]
    common: CommonOptions,
}

/// The store and its host, which is dropped first.
struct GrownStore {
    host: Host,
    store: DataStore,
    orders: u32,
    client: Client,
}

/// A measured figure: its name with the unit, and its value.
type Figure = (&'static str, f64);

/// The figures so far. Each is printed at once, as a row of a table, because the next step may take minutes.
#[derive(Default)]
struct Figures(Vec<Figure>);

pub(super) async fn run(options: Options) -> Result<ExitCode> {
    let common = &options.common;
    let binary = common.host().await?;
    let cpus = Cpus::split()?;
    let loaders = Loaders::on(&cpus.load);
    let about = format!(
        "{}, commit {}, {} orders of {} users",
        processor(),
        commit().await,
        options.orders,
        LAB.users
    );
    let size = Size {
        orders: options.orders as usize,
        ..LAB
    };
    let mut data = Dataset::random(size, RNG_SEED);
    for order in data.orders.iter_mut().take(ORDERS_OF_USER as usize) {
        order.user_id = USER;
    }
    let store = start_store(&binary, &cpus, &data).await?;
    drop(data);
    let host = host_options(&binary, &cpus).variable("report_refresh_seconds", "1");
    let grown = GrownStore {
        host: store.host(host).await?,
        store,
        orders: options.orders,
        client: Client::new(),
    };
    print!("{about}\n\n{}", TextTable::new(["", "measured"]).markdown());
    let mut figures = Figures::default();
    let outcome = grown.measure(&loaders, common, &mut figures).await;
    // Writes also what was measured before a failure.
    let all = figures.json(&about, options.orders, &outcome);
    let written = write_json(&common.output("bench-scale"), &all);
    outcome.and(written).map(|()| ExitCode::SUCCESS)
}

impl Figures {
    fn add(&mut self, more: impl IntoIterator<Item = Figure>) {
        for (what, figure) in more {
            println!("| {what} | {figure:.2} |");
            self.0.push((what, figure));
        }
    }

    /// The content of the file. If the run failed, `failed` says why; otherwise it is null.
    fn json(&self, about: &str, orders: u32, outcome: &Result<()>) -> Value {
        let figures = self.0.iter();
        let figures = figures.map(|(what, figure)| json!({"what": what, "figure": figure}));
        let figures: Value = figures.collect();
        let failed = outcome.as_ref().err().map(|error| format!("{error:#}"));
        json!({"about": about, "orders": orders, "figures": figures, "failed": failed})
    }
}

impl GrownStore {
    /// Measures everything. The deletion comes last, because it changes the store.
    async fn measure(
        &self,
        loaders: &Loaders,
        common: &CommonOptions,
        figures: &mut Figures,
    ) -> Result<()> {
        figures.add(self.room_in_mysql().await?);
        figures.add(self.reads_one_by_one().await?);
        figures.add(self.load(loaders, common).await?);
        let refresh = refresh_ms(&self.host).await?;
        figures.add([("refresh after one order, ms", refresh)]);
        figures.add(self.empty_redis().await?);
        figures.add([self.audit().await?]);
        figures.add(self.delete_user().await?);
        Ok(())
    }

    /// The disk space per table, as MySQL counts its pages.
    async fn room_in_mysql(&self) -> Result<Vec<Figure>> {
        let mut mysql = self.store.mysql().await?;
        let mut figures = Vec::new();
        for (table, what) in [
            ("orders", "row of `orders` with its indexes, bytes"),
            (
                "order_items",
                "rows of `order_items` of one order, with their indexes, bytes",
            ),
        ] {
            let room = "SELECT CAST(data_length + index_length AS DOUBLE) FROM information_schema.tables \
                        WHERE table_schema = DATABASE() AND table_name = ?";
            let room: Option<f64> = mysql.exec_first(room, (table,)).await?;
            let room = room.with_context(|| format!("no table {table}"))?;
            figures.push((what, room / f64::from(self.orders)));
        }
        mysql.disconnect().await?;
        Ok(figures)
    }

    /// Reads random orders of the whole store, one after the other.
    async fn reads_one_by_one(&self) -> Result<Vec<Figure>> {
        let mut numbers = Numbers(0);
        let ids: Vec<u64> = (0..READ_ORDERS)
            .map(|_| numbers.up_to(self.orders.into()))
            .collect();
        let before = self.redis_bytes().await?;
        let first = self.read(&ids).await?;
        let room = (self.redis_bytes().await? - before) / READ_ORDERS as f64;
        let again = self.read(&ids).await?;
        Ok(vec![
            (
                "GET /orders/{id} for the first time, from MySQL: p50, ms",
                first.0,
            ),
            ("the same, p99, ms", first.1),
            ("GET /orders/{id} again, from Redis: p50, ms", again.0),
            ("the same, p99, ms", again.1),
            ("an order in Redis, bytes", room),
        ])
    }

    /// Median and 99th percentile, in milliseconds.
    async fn read(&self, ids: &[u64]) -> Result<(f64, f64)> {
        let step = Progress::detect().step("orders, read one by one", ids.len() as u64);
        let mut times = Vec::with_capacity(ids.len());
        for id in ids {
            let began = Instant::now();
            let answer = self.client.get(self.host.url(&format!("/orders/{id}")));
            let answer = answer.send().await.context("reading")?.error_for_status()?;
            answer.bytes().await.context("reading")?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
            step.advance(1);
        }
        step.finish();
        times.sort_by(f64::total_cmp);
        let at = |part| quantile(&times, part).context("nothing was read");
        Ok((at(0.5)?, at(0.99)?))
    }

    async fn redis_bytes(&self) -> Result<f64> {
        let mut redis = self.store.redis().await?;
        let info: String = redis::cmd("INFO")
            .arg("memory")
            .query_async(&mut redis)
            .await
            .context("asking Redis for its memory")?;
        let used = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        used.and_then(|used| used.trim().parse().ok())
            .context("Redis says no used_memory")
    }

    /// Sends the host as many requests as it can answer.
    async fn load(&self, loaders: &Loaders, common: &CommonOptions) -> Result<Vec<Figure>> {
        let mariadb = self
            .store
            .mariadb
            .as_ref()
            .and_then(|server| server.process());
        let mariadb = mariadb.context("MariaDB is not ours")?.id();
        let (mut orders, mut cpu, mut reads) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..common.rounds {
            let place = Route::Place.target(&self.host.url(""));
            loaders.flood(&place, CONNECTIONS, 1).await?;
            let before = cpu_seconds(mariadb)?;
            let flood = loaders.flood(&place, CONNECTIONS, common.seconds).await?;
            cpu.push((cpu_seconds(mariadb)? - before) / flood.requests * 1e6);
            orders.push(flood.requests_per_second);
            let order = Route::Order.target(&self.host.url(""));
            let flood = loaders.flood(&order, CONNECTIONS, common.seconds).await?;
            reads.push(flood.requests_per_second);
        }
        let middle = |samples: Vec<f64>| median(samples).unwrap_or(f64::NAN);
        Ok(vec![
            ("POST /orders, 64 connections, a second", middle(orders)),
            ("CPU of MariaDB for an order then, µs", middle(cpu)),
            ("GET /orders/{id}, 64 connections, a second", middle(reads)),
        ])
    }

    /// Requests reports while the host finds that Redis was emptied.
    async fn empty_redis(&self) -> Result<Vec<Figure>> {
        let mut redis = self.store.redis().await?;
        let report = self.host.url("/orders/reports/best-sellers");
        redis::cmd("FLUSHALL")
            .query_async::<()>(&mut redis)
            .await
            .context("emptying Redis")?;
        let (began, mut longest, mut refused) = (Instant::now(), 0.0_f64, 0);
        while began.elapsed() < WATCHED {
            let asked = Instant::now();
            let answer = self.client.get(&report).send().await?;
            refused += u32::from(answer.status() != StatusCode::OK);
            answer.bytes().await?;
            longest = longest.max(asked.elapsed().as_secs_f64() * 1000.0);
            sleep(Duration::from_millis(10)).await;
        }
        Ok(vec![
            (
                "a report within 5 s of Redis being emptied: longest answer, ms",
                longest,
            ),
            ("of those refused", f64::from(refused)),
        ])
    }

    /// Audits the store: each total against the orders, and Redis against MySQL.
    async fn audit(&self) -> Result<Figure> {
        let began = Instant::now();
        let audit = audit(self.store.addresses(), Progress::detect()).await?;
        ensure!(audit.is_clean(), "the store is not consistent:\n{audit}");
        Ok(("verify, s", began.elapsed().as_secs_f64()))
    }

    /// Deletes a user. Repeats the request as often as the host asks, and as late.
    async fn delete_user(&self) -> Result<Vec<Figure>> {
        let step = Progress::detect().step("a user and 100,000 orders, deleted", 0);
        let (began, mut requests) = (Instant::now(), 0);
        loop {
            requests += 1;
            let answer = self
                .client
                .delete(self.host.url(&format!("/users/{USER}")))
                .send()
                .await?;
            match answer.status() {
                StatusCode::OK => break,
                StatusCode::SERVICE_UNAVAILABLE => sleep(pause(answer.headers())).await,
                status => bail!("the deletion of the user was answered {status}"),
            }
            ensure!(
                began.elapsed() < DELETION_LIMIT,
                "the deletion did not end in time"
            );
        }
        step.finish();
        Ok(vec![
            (
                "DELETE of a user with 100,000 orders, s",
                began.elapsed().as_secs_f64(),
            ),
            ("requests that it took", f64::from(requests)),
        ])
    }
}

/// How long an answer asks to wait, up to [`LONGEST_PAUSE`].
fn pause(headers: &HeaderMap) -> Duration {
    let asked = headers.get(RETRY_AFTER);
    let seconds = asked.and_then(|asked| asked.to_str().ok()?.parse().ok());
    let pause = seconds.map_or(PAUSE, Duration::from_secs);
    pause.min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_file_says_whether_its_run_failed() {
        let figures = Figures(vec![("verify, s", 1.5)]);
        let whole = figures.json("a machine", 2, &Ok(()));
        assert_eq!(whole["figures"][0]["figure"], 1.5);
        assert_eq!(whole["failed"], Value::Null);
        let refused = Err(anyhow!("refused").context("reading"));
        let part = figures.json("a machine", 2, &refused);
        assert_eq!(part["figures"], whole["figures"]);
        assert_eq!(part["failed"], "reading: refused");
    }

    #[test]
    fn an_answer_says_how_long_to_wait() {
        let waits = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            pause(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(waits("3"), Duration::from_secs(3));
        assert_eq!(waits("3600"), LONGEST_PAUSE);
        assert_eq!(waits("Mon, 30 Nov 2026 12:00:00 GMT"), PAUSE);
        assert_eq!(pause(&HeaderMap::new()), PAUSE);
    }
}
