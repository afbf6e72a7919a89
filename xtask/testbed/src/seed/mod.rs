//! Fills a store with data: MySQL in one transaction. Redis is emptied; readers fill it again.

mod dataset;
mod empty_redis;
mod lab;
mod load_mysql;

use anyhow::{Context, Result, bail};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, TxOpts};

pub use self::dataset::{Dataset, User};
pub use self::lab::{LAB, Size};

use crate::addresses::Addresses;
use crate::progress::Progress;
use crate::redis_keys::StoreKeys;

/// All tables with data.
const TABLES: [&str; 8] = [
    "idempotency_keys",
    "product_totals",
    "user_totals",
    "stocks",
    "order_items",
    "orders",
    "products",
    "users",
];

/// Fills an empty store.
///
/// MySQL gets everything in one transaction, so that an interrupted load leaves an empty store and not half of the
/// data.
///
/// # Errors
/// When the store has users already (see [`empty`]), has no tables, or a server is down or does not hold its keys.
pub async fn load(addresses: &Addresses, dataset: &Dataset, progress: Progress) -> Result<()> {
    let mut conn = addresses.mysql().await?;
    if has_users(&mut conn).await? {
        bail!(
            "{} holds users already; `cargo xtask seed --force` replaces its data",
            addresses.mysql_label()
        );
    }
    check_redis(addresses).await?;
    // The generator's rows refer to each other correctly by construction, and checking them takes a third of the time.
    conn.query_drop("SET foreign_key_checks = 0, unique_checks = 0")
        .await
        .context("setting up the session")?;
    let mut transaction = conn
        .start_transaction(TxOpts::default())
        .await
        .context("starting a transaction")?;
    load_mysql::insert_all(&mut transaction, dataset, progress).await?;
    let step = progress.step("commit", 0);
    transaction.commit().await.context("committing the data")?;
    // Until the server updates its statistics, about ten seconds later, it takes the tables for empty and reads whole
    // tables instead of looking up a few rows.
    conn.query_drop(format!("ANALYZE TABLE {}", TABLES.join(", ")))
        .await
        .context("counting the rows")?;
    step.finish();
    conn.disconnect().await.context("disconnecting")?;
    empty_redis::forget_all(&mut StoreKeys::open(addresses).await?).await
}

/// Whether the store has no users, and so no data worth keeping.
///
/// # Errors
/// When it has no tables yet, or the server is down.
pub async fn is_empty(addresses: &Addresses) -> Result<bool> {
    let mut conn = addresses.mysql().await?;
    let has_users = has_users(&mut conn).await?;
    conn.disconnect().await.context("disconnecting")?;
    Ok(!has_users)
}

/// Removes all data from MySQL and from Redis, and starts the ids from 1 again.
///
/// # Errors
/// When the store has no tables yet, or a server is down or does not hold its keys.
pub async fn empty(addresses: &Addresses) -> Result<()> {
    let mut conn = addresses.mysql().await?;
    has_users(&mut conn).await?;
    check_redis(addresses).await?;
    // Without this, TRUNCATE refuses a table that another refers to, even if it is empty.
    conn.query_drop("SET foreign_key_checks = 0")
        .await
        .context("setting up the session")?;
    for table in TABLES {
        conn.query_drop(format!("TRUNCATE TABLE {table}"))
            .await
            .with_context(|| format!("emptying {table}"))?;
    }
    conn.disconnect().await.context("disconnecting")?;
    empty_redis::forget_all(&mut StoreKeys::open(addresses).await?).await
}

/// A key in Redis with which a cache of another key prefix says what it is worth, if there is none of this store's prefix.
/// If that cache is this store's all the same, it is not emptied.
///
/// # Errors
/// When Redis is down, or is a node of a Redis Cluster that does not hold the store's keys.
pub async fn state_elsewhere(addresses: &Addresses) -> Result<Option<String>> {
    StoreKeys::open(addresses).await?.state_elsewhere().await
}

/// Asks Redis for one key, so that one that refuses is found out before MySQL is changed. The connection is not kept: what
/// comes next may take long.
async fn check_redis(addresses: &Addresses) -> Result<()> {
    let mut keys = StoreKeys::open(addresses).await?;
    keys.has_state().await?;
    Ok(())
}

async fn has_users(conn: &mut Conn) -> Result<bool> {
    let found: Option<i64> = conn
        .query_first("SELECT id FROM users LIMIT 1")
        .await
        .context("looking for users (`store-host migrate` makes the tables)")?;
    Ok(found.is_some())
}
