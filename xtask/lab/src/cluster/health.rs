//! Checks whether all members are well, and which member has which role.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use reqwest::Client;
use serde_json::Value;
use testbed::{DatabaseCluster, Proxy, Sentinel};
use tokio::time::{Instant, sleep, timeout};

use super::caches::{CACHE, connect_redis};
use super::members::{Cluster, DATABASE};
use crate::measure::{label, series};

/// A member that does not answer one query within this time is not well.
const PATIENCE: Duration = Duration::from_secs(2);

/// The wait between two checks.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the fleet may take to be well again after a fault.
pub(super) const HEALING: Duration = Duration::from_secs(60);

impl Cluster {
    /// Waits until all members are well. Returns how long that took.
    ///
    /// # Errors
    /// If they are not well within [`HEALING`]; the message names a member that is not well, and says why.
    pub(super) async fn healed(&self) -> Result<Duration> {
        let began = Instant::now();
        loop {
            match self.check().await {
                Ok(()) => return Ok(began.elapsed()),
                Err(error) if began.elapsed() >= HEALING => {
                    return Err(error.context(format!("not well within {HEALING:?}")));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Fails for the first member that is not well.
    async fn check(&self) -> Result<()> {
        for (number, database) in self.databases.nodes().iter().enumerate() {
            let checked = check_database(&self.databases, number).await;
            checked.with_context(|| format!("database {}", database.address()))?;
        }
        for sentinel in &self.sentinels {
            let address = sentinel.address();
            let checked = within(check_sentinel(sentinel)).await;
            checked.with_context(|| format!("as Sentinel {address} has it"))?;
        }
        let client = client()?;
        let writer = self.writer().await?;
        for host in &self.hosts {
            let name = &host.options.name;
            let running = host
                .running
                .as_ref()
                .with_context(|| format!("{name} is down"))?;
            let ready = client.get(running.url("/readyz")).send().await;
            let ready = ready.and_then(reqwest::Response::error_for_status);
            ready.with_context(|| name.clone())?;
            let metrics = text(&client, &running.admin_url("/metrics")).await?;
            let fit = series(&metrics, "store_mysql_member_fit");
            let fit = fit.filter(|(_, fit)| *fit > 0.0).count();
            let expected = self.databases.replication().nodes_for_writes();
            ensure!(
                fit == expected,
                "{name} finds {fit} databases fit for writes, not {expected}"
            );
            let is_it = written_to(&metrics) == Some(writer.as_str());
            ensure!(
                is_it,
                "{name} writes to another database than the other hosts"
            );
        }
        for proxy in &self.proxies {
            let name = &proxy.options.name;
            let running = proxy
                .running
                .as_ref()
                .with_context(|| format!("{name} is down"))?;
            check_proxy(&client, running)
                .await
                .with_context(|| name.clone())?;
        }
        Ok(())
    }

    /// The address of the database that the first host writes to.
    pub(super) async fn writer(&self) -> Result<String> {
        let host = self.hosts.iter().find_map(|host| host.running.as_ref());
        let host = host.context("no host runs")?;
        let metrics = text(&client()?, &host.admin_url("/metrics")).await?;
        let writer = written_to(&metrics).context("no database is written to")?;
        Ok(writer.to_owned())
    }

    /// The address of the Redis primary, according to the first Sentinel that runs.
    pub(super) async fn primary(&self) -> Result<String> {
        let mut sentinels = self
            .sentinels
            .iter()
            .filter(|found| found.process().is_some());
        let sentinel = sentinels.next().context("no Sentinel runs")?;
        let fields = ask(sentinel, "MASTER").await?;
        let fields = fields.first().context("no primary")?;
        Ok(format!("{}:{}", field(fields, "ip"), field(fields, "port")))
    }

    /// Refreshes the reports now, instead of waiting for the next refresh.
    pub(super) async fn refresh(&self) -> Result<()> {
        let host = self.hosts.iter().find_map(|host| host.running.as_ref());
        let url = host.context("no host runs")?.admin_url("/refresh");
        let answer = client()?
            .post(url)
            .bearer_auth(self.token.as_str())
            .send()
            .await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        answer.context("refreshing the reports").map(drop)
    }
}

/// Opens a connection to a database that sees everything that was committed on any of them before.
pub(super) async fn connect(databases: &DatabaseCluster, number: usize) -> Result<Conn> {
    let url = databases.nodes()[number].url(DATABASE);
    let opts = Opts::from_url(&url).context("reading the URL")?;
    let opts = OptsBuilder::from_opts(opts)
        .prefer_socket(false)
        .setup(vec![databases.replication().wait_for_other_nodes()]);
    Conn::new(opts).await.context("connecting")
}

async fn check_database(databases: &DatabaseCluster, number: usize) -> Result<()> {
    ensure!(databases.nodes()[number].process().is_some(), "is down");
    within(async {
        let mut conn = connect(databases, number).await?;
        let (query, expected) = databases.replication().health();
        let mut status: Vec<(String, String)> = conn.query(query).await.context("asking")?;
        status.sort();
        let values: Vec<&str> = status.iter().map(|(_, value)| value.as_str()).collect();
        ensure!(values == expected, "{values:?}");
        conn.disconnect().await.context("disconnecting")
    })
    .await
}

async fn check_sentinel(sentinel: &Sentinel) -> Result<()> {
    ensure!(sentinel.process().is_some(), "is down");
    let primary = ask(sentinel, "MASTER").await?;
    let primary = primary.first().context("no primary")?;
    let flags = field(primary, "flags");
    ensure!(flags == "master", "the primary is {flags}");
    for (word, count, expected) in [("REPLICAS", 2, "slave"), ("SENTINELS", 2, "sentinel")] {
        let others = ask(sentinel, word).await?;
        ensure!(others.len() == count, "{word}: {}", others.len());
        for other in others {
            let flags = field(&other, "flags");
            ensure!(flags == expected, "{} is {flags}", field(&other, "name"));
            let link = field(&other, "master-link-status");
            let in_step = word != "REPLICAS" || link == "ok";
            ensure!(in_step, "{} is not in step", field(&other, "name"));
        }
    }
    Ok(())
}

/// A Sentinel's answer: for each server that it lists, names and values in turn.
async fn ask(sentinel: &Sentinel, word: &str) -> Result<Vec<Vec<String>>> {
    let mut connection = connect_redis(&format!("redis://{}", sentinel.address())).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg(word).arg(CACHE);
    match word {
        "MASTER" => {
            let fields: Vec<String> = command.query_async(&mut connection).await?;
            Ok(vec![fields])
        }
        _ => Ok(command.query_async(&mut connection).await?),
    }
}

fn field<'a>(fields: &'a [String], name: &str) -> &'a str {
    let at = fields.iter().step_by(2).position(|field| field == name);
    at.map_or("", |at| fields[2 * at + 1].as_str())
}

async fn check_proxy(client: &Client, proxy: &Proxy) -> Result<()> {
    let status = text(client, &proxy.admin_url("/status")).await?;
    let status: Value = serde_json::from_str(&status).context("reading /status")?;
    let upstreams = status["groups"][0]["upstreams"].as_array();
    for upstream in upstreams.context("no upstreams")? {
        let (address, state) = (&upstream["address"], &upstream["state"]);
        ensure!(state == "up", "{address} is {state}");
    }
    Ok(())
}

fn written_to(metrics: &str) -> Option<&str> {
    let members = series(metrics, "store_mysql_member_writer");
    let mut writers = members.filter(|(_, writes)| *writes > 0.0);
    writers.find_map(|(labels, _)| label(labels, "member"))
}

fn client() -> Result<Client> {
    let client = Client::builder().timeout(PATIENCE).build();
    client.context("making an HTTP client")
}

async fn text(client: &Client, url: &str) -> Result<String> {
    let answer = client.get(url).send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status);
    let text = answer.with_context(|| url.to_owned())?.text().await;
    text.with_context(|| url.to_owned())
}

async fn within<T>(question: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(PATIENCE, question).await {
        Ok(answer) => answer,
        Err(_) => bail!("no answer within {PATIENCE:?}"),
    }
}
