//! Reads one order: from Redis, or from MySQL if Redis does not have it.

use spin_sdk::http::StatusCode;
use store_domain::StoreError;
use store_domain::orders::{Order, OrderRow, assemble};
use store_guest::cache::{self, Lookup, Write};
use store_guest::mysql::{Connection, ids, may_be_stale, orders_by_id};
use store_guest::{Problem, Reply, variables};

/// `GET /orders/{id}`
pub(crate) async fn order(order_id: i64) -> Result<Reply, Problem> {
    let redis = match cache::look_up(async |redis| cache::order(redis, order_id).await).await {
        Lookup::Found(order) => return Ok(Reply::json(StatusCode::OK, &order)),
        Lookup::Missing(redis) => redis,
    };
    let order = order_in_mysql(order_id).await?;
    let reply = Reply::json(StatusCode::OK, &order);
    cache::heal(redis.as_ref(), [Write::PutOrder(order)]).await;
    Ok(reply)
}

async fn order_in_mysql(order_id: i64) -> Result<Order, StoreError> {
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    let statement = may_be_stale(&orders_by_id(1));
    let rows: Vec<OrderRow> = connection.query(&statement, ids([order_id])).await?;
    assemble(rows)
        .pop()
        .ok_or_else(|| StoreError::NotFound(format!("there is no order {order_id}")))
}
