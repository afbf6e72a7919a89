//! Both reports: the finished body in Redis, or ten rows of MySQL.

use axum::extract::State;
use axum::response::Response;
use mysql_async::prelude::Queryable;
use serde::Serialize;
use store_domain::cache::report_key;
use store_domain::reports::{BestSeller, Report, Spender};
use store_domain::{Cents, StoreError};

use crate::answer::{Failure, finished_json};
use crate::pools::Pools;
use crate::statements::reports as sql;

/// `GET /orders/reports/highest-spenders`
pub(crate) async fn highest_spenders(State(pools): State<Pools>) -> Result<Response, Failure> {
    if let Some(body) = cached(&pools, Report::HighestSpenders).await {
        return Ok(finished_json(body));
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
    if let Some(body) = cached(&pools, Report::BestSellers).await {
        return Ok(finished_json(body));
    }
    let mut connection = pools.mysql.get_conn().await?;
    let rows: Vec<(i64, i64)> = connection.exec(sql::BEST_SELLERS, ()).await?;
    let line = |(product_id, quantity_sold)| BestSeller {
        product_id,
        quantity_sold,
    };
    body(rows.into_iter().map(line))
}

async fn cached(pools: &Pools, report: Report) -> Option<Vec<u8>> {
    let mut command = redis::cmd("GET");
    command.arg(report_key(report));
    command.query_async(&mut pools.redis.clone()).await.ok()?
}

fn body(lines: impl Iterator<Item: Serialize>) -> Result<Response, Failure> {
    let body = serde_json::to_vec(&lines.collect::<Vec<_>>());
    let body = body.map_err(|error| StoreError::Internal(error.to_string()))?;
    Ok(finished_json(body))
}
