//! `GET /stocks/{product_id}`: from Redis, or from MySQL where Redis doesn't have it.

use axum::Json;
use axum::extract::{Path, State};
use mysql_async::prelude::Queryable;
use redis::{Cmd, Pipeline};
use store_domain::cache::{self, QUANTITY, STOCK_FIELDS, stock_values};
use store_domain::changes::Entity;
use store_domain::stock::{Stock, StockLevel, StockedProduct};
use store_domain::{Cents, StoreError};

use crate::answer::Failure;
use crate::pools::Pools;
use crate::statements::stocks as sql;

/// Product, name, code, price; then quantity and version, which are NULL together.
type Row = (i64, String, String, i64, Option<i64>, Option<i64>);

pub(crate) async fn read(
    State(pools): State<Pools>,
    Path(product_id): Path<i64>,
) -> Result<Json<Stock>, Failure> {
    let stock = |quantity| {
        Json(Stock {
            product_id,
            quantity,
        })
    };
    if let Some(quantity) = cached(&pools, product_id).await {
        return Ok(stock(quantity));
    }
    let product = stored(&pools, product_id).await?.ok_or_else(|| {
        StoreError::NotFound(format!("there is no stock of product {product_id}"))
    })?;
    // Only a cache.
    _ = put(&product).exec_async(&mut pools.redis.clone()).await;
    Ok(stock(product.level.quantity))
}

async fn cached(pools: &Pools, product_id: i64) -> Option<i64> {
    let mut command = redis::cmd("HMGET");
    command
        .arg(cache::key(Entity::Product, product_id))
        .arg(QUANTITY);
    let values: [Option<String>; 1] = command.query_async(&mut pools.redis.clone()).await.ok()?;
    let [quantity] = values;
    quantity?.parse().ok()
}

async fn stored(pools: &Pools, product_id: i64) -> Result<Option<StockedProduct>, Failure> {
    let mut connection = pools.mysql.get_conn().await?;
    let row: Option<Row> = connection
        .exec_first(sql::products_with_stock(1), (product_id,))
        .await?;
    Ok(
        row.and_then(|(product_id, name, sku, cents, quantity, version)| {
            Some(StockedProduct {
                name,
                sku,
                unit_price: Cents::new(cents),
                level: StockLevel {
                    product_id,
                    quantity: quantity?,
                    version: version?,
                },
            })
        }),
    )
}

fn put(product: &StockedProduct) -> Cmd {
    let mut command = redis::cmd("HSET");
    command.arg(cache::key(Entity::Product, product.level.product_id));
    for (field, value) in STOCK_FIELDS.iter().zip(stock_values(product)) {
        command.arg(field).arg(value);
    }
    command
}

/// Moves the quantity of an existing hash, unless Redis has a newer one: the twin's only writer of Redis is itself.
const MOVE_STOCK: &str = "\
local stored = redis.call('HGET', KEYS[1], 'version')
if not stored or tonumber(stored) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'quantity', ARGV[2])
return 1";

/// Adds what moves a product's level in Redis.
pub(crate) fn add_move(pipeline: &mut Pipeline, level: &StockLevel) {
    pipeline
        .cmd("EVAL")
        .arg(MOVE_STOCK)
        .arg(1)
        .arg(cache::key(Entity::Product, level.product_id))
        .arg(level.version)
        .arg(level.quantity)
        .ignore();
}
