//! Both reports: the finished body in Redis, or ten rows of MySQL.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use mysql_async::prelude::Queryable;
use serde::Serialize;
use store_domain::cache::{GET_WITH_LIFETIME, report_key};
use store_domain::freshness::{Freshness, ReportDate};
use store_domain::reports::{BestSeller, Report, Spender};
use store_domain::{Cents, StoreError};

use crate::answer::{Failure, finished_json};
use crate::pools::Pools;
use crate::statements::reports as sql;

/// The default of `report_refresh_seconds`.
const INTERVAL: Duration = Duration::from_secs(60);

/// `GET /orders/reports/highest-spenders`
pub(crate) async fn highest_spenders(State(pools): State<Pools>) -> Result<Response, Failure> {
    if let Some(answer) = cached(&pools, Report::HighestSpenders).await {
        return Ok(answer);
    }
    let mut connection = pools.mysql.get_conn().await?;
    let rows: Vec<(i64, i64)> = connection.exec(sql::HIGHEST_SPENDERS, ()).await?;
    let line = |(user_id, cents)| Spender {
        user_id,
        total_expense: Cents::new(cents),
    };
    body(rows.into_iter().map(line))
}

/// `GET /orders/reports/best-sellers`
pub(crate) async fn best_sellers(State(pools): State<Pools>) -> Result<Response, Failure> {
    if let Some(answer) = cached(&pools, Report::BestSellers).await {
        return Ok(answer);
    }
    let mut connection = pools.mysql.get_conn().await?;
    let rows: Vec<(i64, i64)> = connection.exec(sql::BEST_SELLERS, ()).await?;
    let line = |(product_id, quantity_sold)| BestSeller {
        product_id,
        quantity_sold,
    };
    body(rows.into_iter().map(line))
}

/// The body, with what the component says of its freshness.
async fn cached(pools: &Pools, report: Report) -> Option<Response> {
    let (body, left) = match known(pools, report).await {
        Some(known) => known,
        None => read(pools, report).await?,
    };
    let Freshness {
        fresh_seconds,
        stale_seconds,
    } = Freshness::of_report(left, INTERVAL);
    let kept = format!(
        "public, max-age=0, s-maxage={fresh_seconds}, stale-while-revalidate={stale_seconds}"
    );
    Some(([(CACHE_CONTROL, kept)], finished_json(body)).into_response())
}

/// The body alone, and what its last reader knows of its lifetime, if there was one.
async fn known(pools: &Pools, report: Report) -> Option<(Vec<u8>, Duration)> {
    let dated = pools.dated.lock()[report as usize]?;
    let key = report_key(report);
    let body = match pools.near.kept(key) {
        Some(body) => body,
        None => pools.near.ask(&mut pools.redis.clone(), key).await.ok()??,
    };
    let left = dated.left(&body, Instant::now())?;
    Some((body, left))
}

async fn read(pools: &Pools, report: Report) -> Option<(Vec<u8>, Duration)> {
    let mut command = redis::cmd("EVAL");
    command
        .arg(GET_WITH_LIFETIME)
        .arg(1)
        .arg(report_key(report));
    let read_at = Instant::now();
    let reply = command.query_async(&mut pools.redis.clone()).await;
    // As in the host, to which a script is a command that may change something.
    pools.near.forget_all();
    let (body, left_ms): (Option<Vec<u8>>, i64) = reply.ok()?;
    let (body, left) = (body?, Duration::from_millis(u64::try_from(left_ms).ok()?));
    let dated = ReportDate::new(&body, left, read_at);
    pools.dated.lock()[report as usize] = Some(dated);
    Some((body, left))
}

fn body(lines: impl Iterator<Item: Serialize>) -> Result<Response, Failure> {
    let body = serde_json::to_vec(&lines.collect::<Vec<_>>());
    let body = body.map_err(|error| StoreError::Internal(error.to_string()))?;
    Ok(finished_json(body))
}
