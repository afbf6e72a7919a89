//! Measures what an order costs MariaDB, statement by statement.
//!
//! With a threshold of zero, MariaDB writes each statement and its times to the slow query log, which costs time
//! itself. So MariaDB is restarted with that setting for a short run at the end of a stage, and the run is compared
//! only with other runs of this kind. (The performance schema counts executions only for statements that are still
//! prepared, and a connection forgets statements that it has not used for long.)

mod log;

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use testbed::seed::Size;

use self::log::Log;
use super::model::OrderCost;
use super::servers::Servers;
use crate::measure::{Basket, Counters, Orders, cpu_seconds, until};

/// The flags that log every statement.
const FLAGS: [&str; 4] = [
    "--slow-query-log=1",
    "--slow-query-log-file=statements.log",
    "--long-query-time=0",
    "--log-slow-filter=",
];

/// The number of competing clients, each of which places one order after the other.
const CROWD: usize = 32;

/// The number of clients: one, which never waits for others, to compare orders of different lengths; otherwise a crowd.
fn clients(basket: Basket) -> usize {
    match basket {
        Basket::Products(_) => 1,
        _ => CROWD,
    }
}

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The parameters of a measurement.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) size: Size,
    pub(super) seed: u64,
    pub(super) time: Duration,
}

/// Measures orders of each of these kinds. MariaDB is restarted for this, and is slower afterwards.
pub(super) async fn look_into(
    servers: &mut Servers,
    baskets: &[Basket],
    plan: Plan,
) -> Result<Vec<OrderCost>> {
    let mariadb = servers.store.mariadb.as_mut();
    let mariadb = mariadb.context("a stage has a MariaDB of its own")?;
    mariadb.restart_with(&FLAGS).await?;
    let mut costs = Vec::new();
    for basket in baskets {
        costs.push(look(servers, *basket, plan).await?);
    }
    Ok(costs)
}

async fn look(servers: &Servers, basket: Basket, plan: Plan) -> Result<OrderCost> {
    let mariadb = servers.store.mariadb.as_ref();
    let mariadb = mariadb.context("a stage has a MariaDB of its own")?;
    let process = mariadb.process().context("MariaDB was just started")?.id();
    let log = mariadb.data_folder().join("statements.log");
    let buyers = Buyers::new(servers, basket, plan)?;
    // This opens connections and prepares statements. The first orders may use connections that the restart has broken.
    buyers.buy(plan.time / 2).await?;
    buyers.forget();
    let mut mysql = servers.store.mysql().await?;
    let mut redis = servers.store.redis().await?;
    let log = Log::from_its_end(log)?;
    let (before, cpu) = (
        Counters::look(&mut mysql, &mut redis).await?,
        cpu_seconds(process)?,
    );
    buyers.buy(plan.time).await?;
    let cpu_seconds = cpu_seconds(process)? - cpu;
    let counted = Counters::look(&mut mysql, &mut redis)
        .await?
        .since(&before, &Counters::NONE);
    let statements = log.statements()?;
    let (orders, failed) = (buyers.placed.get(), buyers.failed.get());
    ensure!(orders > 0, "none of {failed} orders was placed");
    Ok(OrderCost {
        basket,
        clients: clients(basket),
        orders,
        failed,
        mean_ms: buyers.waited.get().as_secs_f64() * 1000.0 / (orders + failed) as f64,
        round_trips: counted.mysql_round_trips(),
        lock_wait_ms: counted.mysql_lock_wait_ms,
        cpu_seconds,
        statements,
    })
}

/// The clients that place orders, and their results.
struct Buyers {
    clients: usize,
    client: Client,
    url: String,
    orders: RefCell<Orders>,
    placed: Cell<u64>,
    failed: Cell<u64>,
    /// The total time of all clients.
    waited: Cell<Duration>,
}

impl Buyers {
    fn new(servers: &Servers, basket: Basket, plan: Plan) -> Result<Self> {
        let client = Client::builder().timeout(PATIENCE).build();
        Ok(Self {
            clients: clients(basket),
            client: client.context("making an HTTP client")?,
            url: format!("{}/orders", servers.url()),
            orders: RefCell::new(Orders::new(basket, &plan.size, plan.seed)),
            placed: Cell::default(),
            failed: Cell::default(),
            waited: Cell::default(),
        })
    }

    async fn buy(&self, time: Duration) -> Result<()> {
        until(time, self.clients, async || self.buy_once().await).await
    }

    async fn buy_once(&self) -> Result<()> {
        let body = self
            .orders
            .borrow_mut()
            .next()
            .context("orders have no end")?;
        let request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json");
        let asked = Instant::now();
        let answer = request
            .body(body)
            .send()
            .await
            .context("placing an order")?;
        let status = answer.status();
        // Read to its end, so that the connection can be reused.
        answer.bytes().await.context("reading an answer")?;
        self.waited.set(self.waited.get() + asked.elapsed());
        let count = if status == StatusCode::CREATED {
            &self.placed
        } else {
            &self.failed
        };
        count.set(count.get() + 1);
        Ok(())
    }

    fn forget(&self) {
        self.placed.set(0);
        self.failed.set(0);
        self.waited.set(Duration::ZERO);
    }
}
