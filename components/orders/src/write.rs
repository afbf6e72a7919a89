//! Placing an order, and deleting one: one transaction, followed by the cache.

use serde::Serialize;
use spin_sdk::http::StatusCode;
use store_domain::changes::{Sale, changed};
use store_domain::idempotency::{Claim, Route};
use store_domain::orders::{Basket, NewOrder, Order};
use store_domain::settings::{PriceLookup, StockPolicy};
use store_domain::stock::StockLevel;
use store_domain::{Cents, StoreError};
use store_guest::cache::{self, Write};
use store_guest::mysql::{
    Abort, Connection, Fate, MysqlError, exists, ids, transaction, write_token,
};
use store_guest::{Problem, Reply, Request, idempotency, json, variables};

use crate::{ledger, sql, undo};

/// How orders are placed: the variables of one request.
struct Terms {
    mysql_url: String,
    price_lookup: PriceLookup,
    stock_policy: StockPolicy,
}

impl Terms {
    async fn read() -> Result<Self, StoreError> {
        Ok(Self {
            mysql_url: variables::mysql_url().await?,
            price_lookup: variables::setting().await?,
            stock_policy: variables::setting().await?,
        })
    }
}

/// `POST /orders`
pub(crate) async fn place(request: &Request) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Placed {
        order_id: i64,
    }
    let key = idempotency::key(request)?;
    let body = request.json_bytes().await?;
    let basket = json::parse::<NewOrder>(&body)?.into_basket()?;
    let claim = key.map(|key| key.claim(Route::Orders, &body));
    let terms = Terms::read().await?;
    let order_id = idempotency::once(&terms.mysql_url, claim.as_ref(), async || {
        place_new(&terms, &basket, claim.as_ref()).await
    })
    .await?;
    Ok(Reply::json(StatusCode::CREATED, &Placed { order_id }))
}

/// Places the order, commits, and then brings the cache in line.
async fn place_new(terms: &Terms, basket: &Basket, claim: Option<&Claim>) -> Result<i64, Abort> {
    let token = write_token();
    let (order, levels) = transaction(
        &terms.mysql_url,
        async |connection| place_in(connection, terms, basket, claim, token).await,
        async |connection, (order, _)| {
            Fate::of_insert(connection, sql::ORDER_WRITER, order.order_id, token).await
        },
    )
    .await?;
    let order_id = order.order_id;
    let stock = levels.into_iter().map(Write::MoveStock);
    cache::write_after_commit(std::iter::once(Write::PutOrder(order)).chain(stock)).await;
    Ok(order_id)
}

/// Everything that an order is, in the order in which every transaction locks: products, user, order, stock, totals.
async fn place_in(
    connection: &Connection,
    terms: &Terms,
    basket: &Basket,
    claim: Option<&Claim>,
    token: i64,
) -> Result<(Order, Vec<StockLevel>), Abort> {
    let prices = prices(connection, terms.price_lookup, basket).await?;
    let order = basket.priced(&prices)?;
    let sale = Sale::of(&order);

    let columns = vec![
        order.user_id.into(),
        order.total_amount.to_string().into(),
        token.into(),
    ];
    connection
        .execute(sql::INSERT_ORDER, columns)
        .await
        .map_err(|error| unknown_user(error, order.user_id))?;
    let order = order.numbered(connection.last_insert_id().await?);
    idempotency::record(connection, claim, order.order_id).await?;
    insert_items(connection, &order).await?;

    let changed = changed(&[order.order_id], &sale.lines);
    let levels = ledger::post(connection, terms.stock_policy, &sale, &changed).await?;
    Ok((order, levels))
}

async fn prices(
    connection: &Connection,
    lookup: PriceLookup,
    basket: &Basket,
) -> Result<Vec<(i64, Cents)>, Abort> {
    let products = basket.product_ids();
    match lookup {
        PriceLookup::Batched => {
            let statement = sql::prices(products.len());
            Ok(connection.query(&statement, ids(products)).await?)
        }
        PriceLookup::PerItem => {
            let mut prices = Vec::with_capacity(products.len());
            let statement = sql::prices(1);
            for product_id in products {
                let price = connection.first(&statement, ids([product_id])).await?;
                prices.extend::<Option<(i64, Cents)>>(price);
            }
            Ok(prices)
        }
    }
}

async fn insert_items(connection: &Connection, order: &Order) -> Result<(), Abort> {
    let mut parameters = Vec::with_capacity(order.items.len() * 4);
    for item in &order.items {
        parameters.extend(ids([order.order_id, item.product_id, item.quantity]));
        parameters.push(item.unit_price.to_string().into());
    }
    let statement = sql::insert_items(order.items.len());
    Ok(connection.execute(&statement, parameters).await?)
}

fn unknown_user(error: MysqlError, user_id: i64) -> Abort {
    if error.refers_to_nothing() {
        StoreError::Unacceptable(format!("unknown user {user_id}")).into()
    } else {
        error.into()
    }
}

/// `DELETE /orders/{id}`
pub(crate) async fn delete(order_id: i64) -> Result<Reply, Problem> {
    let mysql_url = variables::mysql_url().await?;
    let found = exists(&mysql_url, sql::ORDER_EXISTS, order_id).await?;
    let deleted = found && undo::orders(&mysql_url, &[order_id]).await?;
    Ok(Reply::deleted(deleted))
}
