//! Orders: placed in one transaction, and read from Redis or MySQL.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Value};
use redis::Pipeline;
use serde::Serialize;
use store_domain::cache::{self, ORDER_FIELDS, order_values};
use store_domain::changes::{Entity, Sale, changed};
use store_domain::orders::{
    Basket, Line, NewOrder, Order, OrderItem, OrderRow, PricedOrder, assemble,
};
use store_domain::stock::StockLevel;
use store_domain::{Cents, StoreError};
use store_guest::changes;
use store_guest::mysql::{BEGIN, COMMIT, orders_by_id, padded, pieces, rung};

use crate::answer::Failure;
use crate::pools::Pools;
use crate::statements::orders as sql;
use crate::stocks;

/// How often a transaction is tried, and the errors that a new try may get past: lock wait, deadlock, and MariaDB's
/// "changed since read".
const ATTEMPTS: u32 = 5;
const COLLISIONS: [u16; 3] = [1205, 1213, 1020];

#[derive(Serialize)]
pub(crate) struct PlacedOrder {
    order_id: i64,
}

/// `POST /orders`
pub(crate) async fn place(
    State(pools): State<Pools>,
    body: Bytes,
) -> Result<(StatusCode, Json<PlacedOrder>), Failure> {
    let order: NewOrder =
        serde_json::from_slice(&body).map_err(|error| StoreError::Malformed(error.to_string()))?;
    let basket = order.into_basket()?;
    // A client that leaves must not leave a connection in the middle of its transaction.
    let placed = match pools.groups.clone() {
        Some(groups) => groups.join(pools, basket),
        None => tokio::spawn(async move {
            let placed = place_whole(&pools, || vec![basket.clone()]).await;
            placed.map(|ids| ids[0])
        }),
    };
    let order_id = placed
        .await
        .map_err(|error| StoreError::Internal(error.to_string()))??;
    Ok((StatusCode::CREATED, Json(PlacedOrder { order_id })))
}

/// The transaction of what `baskets` gives once it has begun, again if it collides with another, and then the cache.
pub(crate) async fn place_whole(
    pools: &Pools,
    baskets: impl Fn() -> Vec<Basket>,
) -> Result<Vec<i64>, Failure> {
    let mut attempt = 1;
    let (orders, levels) = loop {
        let mut connection = pools.mysql.get_conn().await?;
        let failed = match place_in(&mut connection, &baskets).await {
            Ok(placed) => break placed,
            Err(failed) => failed,
        };
        // Rolls back.
        connection.disconnect().await?;
        if attempt == ATTEMPTS || !failed.is_collision() {
            return Err(failed.into());
        }
        attempt += 1;
    };
    let mut pipeline = redis::pipe();
    for order in &orders {
        add_order(&mut pipeline, order);
    }
    for level in &levels {
        stocks::add_move(&mut pipeline, level);
    }
    // Only a cache.
    _ = pipeline.exec_async(&mut pools.redis.clone()).await;
    Ok(orders.iter().map(|order| order.order_id).collect())
}

/// Why a try failed.
enum Abort {
    Rejected(StoreError),
    Database(mysql_async::Error),
}

impl Abort {
    fn is_collision(&self) -> bool {
        match self {
            Self::Database(mysql_async::Error::Server(error)) => COLLISIONS.contains(&error.code),
            _ => false,
        }
    }
}

impl From<StoreError> for Abort {
    fn from(error: StoreError) -> Self {
        Self::Rejected(error)
    }
}

impl From<mysql_async::Error> for Abort {
    fn from(error: mysql_async::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Abort> for Failure {
    fn from(abort: Abort) -> Self {
        match abort {
            Abort::Rejected(error) => error.into(),
            Abort::Database(error) => error.into(),
        }
    }
}

/// The statements of the component `orders`, in its order. Of a group, all are placed or none, and their ids are taken to
/// follow one another.
async fn place_in(
    conn: &mut Conn,
    baskets: impl Fn() -> Vec<Basket>,
) -> Result<(Vec<Order>, Vec<StockLevel>), Abort> {
    conn.exec_drop(BEGIN, ()).await?;
    let baskets = baskets();
    let products = baskets.iter().flat_map(Basket::product_ids);
    let products: BTreeSet<i64> = products.collect();
    let products = padded(products.into_iter().collect());
    let prices = sql::prices(products.len());
    let prices: Vec<(i64, i64)> = conn.exec(prices, ids(products)).await?;
    let prices: Vec<_> = prices
        .into_iter()
        .map(|(id, cents)| (id, Cents::new(cents)))
        .collect();
    let priced = baskets.iter().map(|basket| basket.priced(&prices));
    let priced: Vec<PricedOrder> = priced.collect::<Result<_, _>>()?;
    // Whoever looks up lost commits finds them by a token. This one does not.
    let rows = priced.iter().flat_map(|order| {
        let total: Value = order.total_amount.to_string().into();
        [order.user_id.into(), total, 0_i64.into()]
    });
    let rows = Params::Positional(rows.collect());
    conn.exec_drop(sql::insert_orders(priced.len()), rows)
        .await?;
    let id: Option<i64> = conn.exec_first("SELECT LAST_INSERT_ID()", ()).await?;
    let first = id.ok_or_else(|| StoreError::Internal("no insert id".into()))?;
    let numbered = priced.into_iter().zip(first..);
    let orders: Vec<Order> = numbered.map(|(order, id)| order.numbered(id)).collect();
    insert_items(conn, &orders).await?;
    let sale = Sale::of(&orders);
    post(conn, &sale).await?;
    let order_ids: Vec<i64> = orders.iter().map(|order| order.order_id).collect();
    let changed = changed(&order_ids, &sale.lines);
    // What the components ask before they mark in Redis what changes; they mark it in one more round trip.
    let rows: Vec<changes::Row> = conn
        .exec(changes::outcome(&changed), ids(changes::ids_of(&changed)))
        .await?;
    conn.exec_drop(COMMIT, ()).await?;
    let levels = rows.into_iter().filter_map(level).collect();
    Ok((orders, levels))
}

async fn insert_items(conn: &mut Conn, orders: &[Order]) -> Result<(), Abort> {
    let rows: Vec<[Value; 4]> = orders
        .iter()
        .flat_map(|order| {
            order.items.iter().map(|item| {
                [
                    order.order_id.into(),
                    item.product_id.into(),
                    item.quantity.into(),
                    item.unit_price.to_string().into(),
                ]
            })
        })
        .collect();
    for rows in pieces(&rows) {
        let statement = sql::insert_items(rows.len());
        let rows = Params::Positional(rows.concat());
        conn.exec_drop(statement, rows).await?;
    }
    Ok(())
}

/// Moves stock and totals. Lists have few lengths, as the component's.
async fn post(conn: &mut Conn, sale: &Sale) -> Result<(), Abort> {
    let lines = |quantity: fn(&Line) -> i64| {
        let mut rows: Vec<_> = sale
            .lines
            .iter()
            .map(|l| (l.product_id, quantity(l)))
            .collect();
        let last = rows.last().map_or(0, |(product_id, _)| *product_id);
        rows.resize(rung(rows.len()), (last, 0));
        ids(rows.into_iter().flat_map(|(id, quantity)| [id, quantity]))
    };
    let rows = rung(sale.lines.len());
    conn.exec_drop(sql::add_to_stock(rows), lines(|line| -line.quantity))
        .await?;
    conn.exec_drop(
        sql::add_to_product_totals(rows),
        lines(|line| line.quantity),
    )
    .await?;
    let mut buyers = sale.buyers.clone();
    let last = buyers.last().map_or(0, |(user_id, _)| *user_id);
    buyers.resize(rung(buyers.len()), (last, Cents::ZERO));
    let statement = sql::add_to_user_totals(buyers.len());
    let spent = buyers.into_iter().flat_map(|(user_id, expense)| {
        let expense: Value = expense.to_string().into();
        [user_id.into(), expense]
    });
    conn.exec_drop(statement, Params::Positional(spent.collect()))
        .await?;
    Ok(())
}

/// What a row says of a product's stock, if it does.
fn level((about, product_id, _, version, quantity): changes::Row) -> Option<StockLevel> {
    (about == changes::ABOUT_PRODUCT).then_some(StockLevel {
        product_id,
        quantity: quantity?,
        version,
    })
}

fn ids(ids: impl IntoIterator<Item = i64>) -> Params {
    Params::Positional(ids.into_iter().map(Value::from).collect())
}

fn add_order(pipeline: &mut Pipeline, order: &Order) {
    let command = pipeline
        .cmd("HSET")
        .arg(cache::key(Entity::Order, order.order_id));
    for (field, value) in ORDER_FIELDS.iter().zip(order_values(order)) {
        command.arg(field).arg(value);
    }
    command.ignore();
}

/// `GET /orders/{id}`
pub(crate) async fn read(
    State(pools): State<Pools>,
    Path(order_id): Path<i64>,
) -> Result<Json<Order>, Failure> {
    if let Some(order) = cached(&pools, order_id).await {
        return Ok(Json(order));
    }
    let mut connection = pools.mysql.get_conn().await?;
    let rows: Vec<Row> = connection.exec(orders_by_id(1), (order_id,)).await?;
    let order = assemble(rows.into_iter().map(row)).pop();
    let order =
        order.ok_or_else(|| StoreError::NotFound(format!("there is no order {order_id}")))?;
    let mut pipeline = redis::pipe();
    add_order(&mut pipeline, &order);
    // Only a cache.
    _ = pipeline.exec_async(&mut pools.redis.clone()).await;
    Ok(Json(order))
}

async fn cached(pools: &Pools, order_id: i64) -> Option<Order> {
    let mut command = redis::cmd("HMGET");
    command
        .arg(cache::key(Entity::Order, order_id))
        .arg(&ORDER_FIELDS);
    let values = command.query_async(&mut pools.redis.clone()).await.ok()?;
    cache::order_from_values(order_id, values)
}

type Row = (i64, i64, i64, Option<i64>, Option<i64>, Option<i64>);

fn row((order_id, user_id, total, product_id, quantity, price): Row) -> OrderRow {
    let item = product_id.zip(quantity).zip(price);
    OrderRow {
        order_id,
        user_id,
        total_amount: Cents::new(total),
        item: item.map(|((product_id, quantity), cents)| OrderItem {
            product_id,
            quantity,
            unit_price: Cents::new(cents),
        }),
    }
}
