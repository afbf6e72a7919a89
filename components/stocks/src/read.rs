//! Reads products and their stock: from Redis, or from MySQL if Redis does not have them.

use std::collections::HashSet;

use futures::future::try_join_all;
use spin_sdk::http::StatusCode;
use store_domain::products::Product;
use store_domain::stock::{Stock, StockLevel, StockedProduct};
use store_domain::{Cents, StoreError};
use store_guest::cache::{self, Lookup, Write};
use store_guest::mysql::{Connection, ids, may_be_stale};
use store_guest::redis::{Redis, RedisError};
use store_guest::{Problem, Reply, variables};

use crate::sql;

/// `GET /products/{id}`
pub(crate) async fn product(id: i64) -> Result<Reply, Problem> {
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    let (id, name, sku, price) = connection
        .first::<(i64, String, String, Cents)>(&may_be_stale(sql::PRODUCT), ids([id]))
        .await?
        .ok_or_else(|| StoreError::NotFound(format!("there is no product {id}")))?;
    let product = Product {
        id,
        name,
        sku,
        price,
    };
    Ok(Reply::json(StatusCode::OK, &product))
}

/// `GET /stocks/{product_id}`
pub(crate) async fn stock(product_id: i64) -> Result<Reply, Problem> {
    let quantity =
        match cache::look_up(async |redis| cache::quantity(redis, product_id).await).await {
            Lookup::Found(quantity) => quantity,
            Lookup::Missing(redis) => quantity_in_mysql(redis.as_ref(), product_id).await?,
        };
    let stock = Stock {
        product_id,
        quantity,
    };
    Ok(Reply::json(StatusCode::OK, &stock))
}

async fn quantity_in_mysql(redis: Option<&Redis>, product_id: i64) -> Result<i64, StoreError> {
    let stored = find_in_mysql(&[product_id]).await?;
    heal(redis, &stored).await;
    let level = stored.into_iter().find_map(|found| found.level);
    level
        .map(|level| level.quantity)
        .ok_or_else(|| StoreError::NotFound(format!("there is no stock of product {product_id}")))
}

/// A product, and its stock if a quantity was ever set or sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProductRecord {
    pub(crate) product: Product,
    pub(crate) level: Option<StockLevel>,
}

/// Finds the products that exist, in any order.
///
/// # Errors
/// [`StoreError::Unavailable`] if a product is not in Redis and MySQL is down.
pub(crate) async fn find(product_ids: Vec<i64>) -> Result<Vec<ProductRecord>, StoreError> {
    if product_ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut redis = cache::open().await;
    let mut found = match &redis {
        Some(open) => cache::log_failure(find_in_redis(open, &product_ids).await),
        None => None,
    }
    .unwrap_or_else(|| {
        // If Redis does not answer, nothing is written to it either: that would only be a second wait.
        redis = None;
        Vec::new()
    });
    let cached: HashSet<i64> = found.iter().map(|found| found.product.id).collect();
    let missing: Vec<i64> = product_ids
        .into_iter()
        .filter(|id| !cached.contains(id))
        .collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let stored = find_in_mysql(&missing).await?;
    heal(redis.as_ref(), &stored).await;
    found.extend(stored);
    Ok(found)
}

async fn heal(redis: Option<&Redis>, stored: &[ProductRecord]) {
    let stocked = stored.iter().filter_map(ProductRecord::stocked);
    cache::heal(redis, stocked.map(Write::PutStock)).await;
}

/// How many products one request asks Redis for at once. All requests of a host share one connection to Redis, and a
/// request for a single product waits behind each of these batches.
const ASKED_AT_ONCE: usize = 8;

async fn find_in_redis(
    redis: &Redis,
    product_ids: &[i64],
) -> Result<Vec<ProductRecord>, RedisError> {
    let mut found = Vec::new();
    for some in product_ids.chunks(ASKED_AT_ONCE) {
        let lookups = some.iter().map(|&id| cache::stock(redis, id));
        let answers = try_join_all(lookups).await?;
        found.extend(answers.into_iter().flatten().map(ProductRecord::from));
    }
    Ok(found)
}

async fn find_in_mysql(product_ids: &[i64]) -> Result<Vec<ProductRecord>, StoreError> {
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    let statement = may_be_stale(&sql::products_with_stock(product_ids.len()));
    let rows: Vec<Row> = connection
        .query(&statement, ids(product_ids.iter().copied()))
        .await?;
    Ok(rows.into_iter().map(ProductRecord::from).collect())
}

/// Columns: product, name, code, price; then quantity and version, which are NULL together.
type Row = (i64, String, String, Cents, Option<i64>, Option<i64>);

impl From<Row> for ProductRecord {
    fn from((id, name, sku, price, quantity, version): Row) -> Self {
        let level = quantity.zip(version);
        Self {
            product: Product {
                id,
                name,
                sku,
                price,
            },
            level: level.map(|(quantity, version)| StockLevel {
                product_id: id,
                quantity,
                version,
            }),
        }
    }
}

impl ProductRecord {
    /// What Redis holds of the product; `None` if it has no stock.
    fn stocked(&self) -> Option<StockedProduct> {
        let product = self.product.clone();
        self.level.map(|level| StockedProduct {
            name: product.name,
            sku: product.sku,
            unit_price: product.price,
            level,
        })
    }
}

impl From<StockedProduct> for ProductRecord {
    fn from(stocked: StockedProduct) -> Self {
        Self {
            product: Product {
                id: stocked.level.product_id,
                name: stocked.name,
                sku: stocked.sku,
                price: stocked.unit_price,
            },
            level: Some(stocked.level),
        }
    }
}
