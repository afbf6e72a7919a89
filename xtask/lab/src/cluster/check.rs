//! Compares the answers that clients got with the rows of the databases.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use serde_json::Value;
use testbed::{Addresses, Progress};

use super::caches::connect_redis;
use super::compare::{Row, compare};
use super::health::connect;
use super::history::{History, StaleRead};
use super::members::{Cluster, DATABASE};
use super::reader::REPORTS;

/// How long an order may be invisible after it was confirmed, while hosts move from one database to the next
/// (docs/adr/0024-one-writer-among-members.md).
pub(super) const BOUND: Duration = Duration::from_secs(1);

/// How long Redis may take to reflect the last order.
const SETTLE: Duration = Duration::from_secs(10);

/// How many findings of each kind are printed.
const SHOWN: usize = 20;

/// The state of the store before the load.
pub(super) struct Before {
    last_order: u64,
    stock: BTreeMap<u64, i64>,
}

impl Before {
    pub(super) async fn read(cluster: &Cluster) -> Result<Self> {
        let mut conn = connect(&cluster.databases, 0).await?;
        let last = conn
            .query_first("SELECT COALESCE(MAX(id), 0) FROM orders")
            .await;
        let last_order = last.context("reading the last order")?.unwrap_or_default();
        let stock = conn.query("SELECT product_id, quantity FROM stocks").await;
        let stock: Vec<(u64, i64)> = stock.context("reading stock levels")?;
        Ok(Self {
            last_order,
            stock: stock.into_iter().collect(),
        })
    }
}

/// Everything that is not as it must be, checked after the load, when all members are well.
pub(super) async fn failures(
    cluster: &Cluster,
    before: &Before,
    history: &History,
) -> Result<Vec<String>> {
    let mut failures = Vec::new();
    let rows = rows(cluster, before).await?;
    failures.extend(shown(compare(&history.orders, &rows)));
    failures.extend(shown(stock(cluster, before, &rows).await?));
    failures.extend(shown(old_reads(history)));
    failures.extend(shown(history.wrong.clone()));
    failures.extend(same_everywhere(cluster).await?);
    failures.extend(totals_and_reports(cluster).await?);
    Ok(failures)
}

fn shown(mut findings: Vec<String>) -> Vec<String> {
    let more = findings.len().saturating_sub(SHOWN);
    findings.truncate(SHOWN);
    if more > 0 {
        findings.push(format!("… and {more} more like these"));
    }
    findings
}

async fn rows(cluster: &Cluster, before: &Before) -> Result<Vec<Row>> {
    const ROWS: &str = "\
SELECT o.id, o.user_id, i.product_id, i.quantity FROM orders o LEFT JOIN order_items i ON i.order_id = o.id
WHERE o.id > ? ORDER BY o.id, i.product_id";
    let mut conn = connect(&cluster.databases, 0).await?;
    let found = conn.exec(ROWS, (before.last_order,)).await;
    let found: Vec<(u64, u64, Option<u64>, Option<u64>)> = found.context("reading all orders")?;
    let mut rows: Vec<Row> = Vec::new();
    for (id, user, product, quantity) in found {
        if rows.last().is_none_or(|row| row.id != id) {
            rows.push(Row {
                user,
                id,
                lines: Vec::new(),
            });
        }
        if let (Some(row), Some(product), Some(quantity)) = (rows.last_mut(), product, quantity) {
            row.lines.push((product, quantity));
        }
    }
    Ok(rows)
}

/// Checks the stock: its old value, less what was sold; cancelled orders don't count as sold.
async fn stock(cluster: &Cluster, before: &Before, rows: &[Row]) -> Result<Vec<String>> {
    let mut expected = before.stock.clone();
    for (product, quantity) in rows.iter().flat_map(|row| &row.lines) {
        *expected.entry(*product).or_default() -= *quantity as i64;
    }
    let after = Before::read(cluster).await?.stock;
    let differs = |(product, expected): (&u64, &i64)| {
        let found = after.get(product).copied();
        let text = || format!("product {product}: {found:?} in stock, {expected} expected");
        (found != Some(*expected)).then(text)
    };
    Ok(expected.iter().filter_map(differs).collect())
}

fn old_reads(history: &History) -> Vec<String> {
    let too_old = history.old_reads.iter();
    let too_old = too_old.filter(|old| old.lasted > BOUND || !old.is_over);
    let text = |old: &StaleRead| {
        let end = if old.is_over { "" } else { " at least" };
        let lasted = old.lasted.as_secs_f64();
        format!(
            "order {} was stale for {lasted:.2} s{end} after its answer",
            old.order
        )
    };
    too_old.map(text).collect()
}

/// Checks that all databases hold the same data.
async fn same_everywhere(cluster: &Cluster) -> Result<Vec<String>> {
    const TABLES: &str =
        "CHECKSUM TABLE orders, order_items, stocks, user_totals, product_totals, idempotency_keys";
    let mut sums = Vec::new();
    for number in 0..cluster.databases.nodes().len() {
        let mut conn = connect(&cluster.databases, number).await?;
        // This query waits for the latest writes of other members; CHECKSUM alone does not.
        conn.query_drop("SELECT COUNT(*) FROM orders")
            .await
            .context("waiting")?;
        let found: Vec<(String, u64)> = conn.query(TABLES).await.context("checking tables")?;
        sums.push(found);
    }
    let is_same = sums.iter().all(|sum| *sum == sums[0]);
    Ok((!is_same)
        .then(|| format!("the databases differ: {sums:?}"))
        .into_iter()
        .collect())
}

/// Compares totals with orders, Redis with MySQL, and the reports of both proxies with Redis.
async fn totals_and_reports(cluster: &Cluster) -> Result<Vec<String>> {
    cluster.refresh().await?;
    let mysql = cluster.databases.nodes()[0].url(DATABASE);
    let redis = format!("redis://{}", cluster.primary().await?);
    let addresses = Addresses::new(&mysql, &redis)?;
    let audit = testbed::verify::audit_until_clean(&addresses, SETTLE, Progress::Silent);
    let audit = audit.await.context("comparing the data")?;
    let mut failures = Vec::new();
    if !audit.is_clean() {
        failures.push(format!("the data differ:\n{audit}"));
    }
    let mut redis = connect_redis(&redis).await?;
    for path in REPORTS {
        let name = path.rsplit('/').next().unwrap_or_default();
        let mut get = redis::cmd("GET");
        let kept: Option<String> = get
            .arg(format!("report:{name}"))
            .query_async(&mut redis)
            .await?;
        let kept: Option<Value> = kept.map(|text| serde_json::from_str(&text)).transpose()?;
        for url in cluster.urls() {
            let answer = reqwest::get(format!("{url}{path}")).await?;
            let answer: Value = answer.json().await.context("reading a report")?;
            if Some(&answer) != kept.as_ref() {
                failures.push(format!(
                    "{url}{path} is {answer}, but in Redis it is {kept:?}"
                ));
            }
        }
    }
    Ok(failures)
}
