//! Compares the finished reports in Redis with the reports that MySQL gives.

use anyhow::{Context, Result};
use mysql_async::Transaction;
use mysql_async::prelude::Queryable;
use redis::{AsyncCommands, RedisResult};
use serde_json::{Value, json};
use store_domain::Cents;
use store_domain::cache::report_key;
use store_domain::reports::{BestSeller, Report, Spender, TOP};

use super::findings::{Audit, Check};
use crate::progress::Progress;
use crate::redis_keys::StoreKeys;

// Computed from the orders, not from the tables of totals, because those are audited too. `FORCE INDEX` has the tables
// read in one go: MariaDB would rather follow the index on the column that it groups by, and look each row up.

const HIGHEST_SPENDERS: &str = "\
SELECT user_id, CAST(SUM(total_amount) * 100 AS SIGNED) AS total FROM orders FORCE INDEX (PRIMARY)
GROUP BY user_id HAVING total > 0 ORDER BY total DESC, user_id LIMIT ?";

const BEST_SELLERS: &str = "\
SELECT product_id, CAST(SUM(quantity) AS SIGNED) AS total FROM order_items FORCE INDEX (PRIMARY)
GROUP BY product_id HAVING total > 0 ORDER BY total DESC, product_id LIMIT ?";

/// Compares the reports in Redis. A missing report is no difference: its next reader will make it.
pub(super) async fn audit_reports(
    conn: &mut Transaction<'_>,
    keys: &mut StoreKeys,
    audit: &mut Audit,
    progress: Progress,
) -> Result<()> {
    let _step = progress.step("reports in Redis", 0);
    for report in Report::ALL {
        let key = keys.named(report_key(report)).into_owned();
        let body: RedisResult<Option<String>> = keys.redis.get(key.as_str()).await;
        let body = keys
            .explained(body)
            .with_context(|| format!("reading {key}"))?;
        let Some(body) = body else { continue };
        let expected = expected(conn, report).await?;
        audit.add_compared(Check::CachedReports, 1);
        let found: Option<Value> = serde_json::from_str(&body).ok();
        if found.as_ref() != Some(&expected) {
            audit.add(
                Check::CachedReports,
                format!("{key}: Redis has {body}, MySQL has {expected}"),
            );
        }
    }
    Ok(())
}

async fn expected(conn: &mut Transaction<'_>, report: Report) -> Result<Value> {
    let lines = match report {
        Report::HighestSpenders => {
            let spender = |(user_id, cents)| Spender {
                user_id,
                total_expense: Cents::new(cents),
            };
            json!(
                conn.exec_map(HIGHEST_SPENDERS, (TOP,), spender)
                    .await
                    .context("adding up the spenders")?
            )
        }
        Report::BestSellers => {
            let seller = |(product_id, quantity_sold)| BestSeller {
                product_id,
                quantity_sold,
            };
            json!(
                conn.exec_map(BEST_SELLERS, (TOP,), seller)
                    .await
                    .context("adding up the sellers")?
            )
        }
    };
    Ok(lines)
}
