//! `report_source = redis`: reads every order's hash for each request. Naive on purpose: it shows how a cache should
//! not be used.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use store_domain::StoreError;
use store_domain::orders::{Order, OrderRow, assemble};
use store_domain::reports::{Report, Tally};
use store_guest::cache::{self, Write};
use store_guest::mysql::{Connection, ids, orders_by_id};
use store_guest::redis::{Redis, RedisError};
use store_guest::variables;

use crate::{mysql, sql};

/// How many hashes are read at once.
const READS_AT_ONCE: usize = 256;

/// The report's body. MySQL lists all orders; Redis gives those that were used recently, and MySQL the others.
///
/// # Errors
/// [`StoreError::Unavailable`] if MySQL is down.
pub(crate) async fn read(report: Report) -> Result<String, StoreError> {
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    let mut redis = cache::open().await;
    let mut tally = Tally::default();
    let mut last = 0;
    loop {
        let page = connection
            .query::<(i64,)>(sql::ORDER_IDS, ids([last]))
            .await?;
        let Some(&(end,)) = page.last() else {
            return Ok(body(report, &tally));
        };
        last = end;
        let page = page.into_iter().map(|(id,)| id).collect();
        for order in orders(&connection, &mut redis, page).await? {
            tally.add(&order);
        }
    }
}

/// The orders of one page, from Redis as far as Redis has them.
async fn orders(
    connection: &Connection,
    redis: &mut Option<Redis>,
    page: Vec<i64>,
) -> Result<Vec<Order>, StoreError> {
    let cached = match redis {
        Some(redis) => cache::log_failure(orders_in_redis(redis, &page).await),
        None => None,
    };
    let mut orders = cached.unwrap_or_else(|| {
        // If Redis does not answer, the next pages don't ask it.
        *redis = None;
        Vec::new()
    });
    // Both lists are sorted by id.
    let mut found = orders.iter().map(|order| order.order_id).peekable();
    let missing: Vec<i64> = page
        .into_iter()
        .filter(|id| found.next_if_eq(id).is_none())
        .collect();
    if !missing.is_empty() {
        let statement = orders_by_id(missing.len());
        let rows: Vec<OrderRow> = connection.query(&statement, ids(missing)).await?;
        let stored = assemble(rows);
        cache::heal(redis.as_ref(), stored.iter().cloned().map(Write::PutOrder)).await;
        orders.extend(stored);
    }
    Ok(orders)
}

async fn orders_in_redis(redis: &Redis, page: &[i64]) -> Result<Vec<Order>, RedisError> {
    let found: Vec<Option<Order>> = stream::iter(page)
        .map(|&id| cache::order(redis, id))
        .buffered(READS_AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

fn body(report: Report, tally: &Tally) -> String {
    match report {
        Report::HighestSpenders => mysql::json(&tally.highest_spenders()),
        Report::BestSellers => mysql::json(&tally.best_sellers()),
    }
}
