//! Placing an order, and deleting one: each is one transaction, followed by the cache.

use serde::Serialize;
use spin_sdk::http::StatusCode;
use store_domain::changes::{Entity, Sale, changed};
use store_domain::idempotency::{Claim, IdempotencyKey};
use store_domain::orders::{Basket, Line, NewOrder, Order};
use store_domain::settings::{PriceLookup, StockPolicy};
use store_domain::stock::StockLevel;
use store_domain::{Cents, StoreError};
use store_guest::cache::{self, Write};
use store_guest::mysql::{Abort, Connection, MysqlError, ids, transaction};
use store_guest::{Problem, Reply, Request, json, variables};

use crate::{idempotency, ledger, sql};

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
    let key = idempotency_key(&request.header("idempotency-key"))?;
    let body = request.json_bytes().await?;
    let basket = json::parse::<NewOrder>(&body)?.into_basket()?;
    let terms = Terms::read().await?;
    let order_id = match key {
        Some(key) => place_once(&terms, &basket, &key.claim(&body)).await?,
        None => place_new(&terms, &basket, None).await?,
    };
    Ok(Reply::json(StatusCode::CREATED, &Placed { order_id }))
}

fn idempotency_key(values: &[Vec<u8>]) -> Result<Option<IdempotencyKey>, StoreError> {
    match values {
        [] => Ok(None),
        [value] => IdempotencyKey::parse(value).map(Some),
        _ => Err(StoreError::Malformed(
            "there must be one Idempotency-Key at most".into(),
        )),
    }
}

/// Places the order unless its key was used before. Both happen in one transaction, so a crash leaves both or neither.
async fn place_once(terms: &Terms, basket: &Basket, claim: &Claim) -> Result<i64, Problem> {
    /// The second round reads what the first one collided with. A third is for a first that was rolled back meanwhile.
    const ROUNDS: usize = 3;
    for _ in 0..ROUNDS {
        if let Some(order_id) = idempotency::recall(&terms.mysql_url, claim).await? {
            return Ok(order_id);
        }
        match place_new(terms, basket, Some(claim)).await {
            // Another request with the key committed between our look and our write.
            Err(Abort::Database(error)) if error.is_duplicate() => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(idempotency::in_flight().into())
}

/// Places the order, commits, and then brings the cache in line.
async fn place_new(terms: &Terms, basket: &Basket, claim: Option<&Claim>) -> Result<i64, Abort> {
    let (order, levels) = transaction(&terms.mysql_url, async |connection| {
        place_in(connection, terms, basket, claim).await
    })
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
) -> Result<(Order, Vec<StockLevel>), Abort> {
    let prices = prices(connection, terms.price_lookup, basket).await?;
    let order = basket.priced(&prices)?;
    let sale = Sale::of(&order);

    let owner = vec![order.user_id.into(), order.total_amount.to_string().into()];
    connection
        .execute(sql::INSERT_ORDER, owner)
        .await
        .map_err(|error| unknown_user(error, order.user_id))?;
    if let Some(claim) = claim {
        idempotency::record(connection, claim).await?;
    }
    let order = order.numbered(connection.last_insert_id().await?);
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
    let levels = transaction(&mysql_url, async |connection| {
        delete_in(connection, order_id).await
    })
    .await?;
    let deleted = levels.is_some();
    if let Some(levels) = levels {
        let order = Write::Forget(Entity::Order, order_id);
        let stock = levels.into_iter().map(Write::MoveStock);
        cache::write_after_commit(std::iter::once(order).chain(stock)).await;
    }
    Ok(Reply::deleted(deleted))
}

/// Deletes the order and gives its stock back. `None` if there is no such order.
async fn delete_in(
    connection: &Connection,
    order_id: i64,
) -> Result<Option<Vec<StockLevel>>, Abort> {
    let order = connection
        .first::<(i64, Cents)>(sql::LOCK_ORDER, ids([order_id]))
        .await?;
    let Some((user_id, total_amount)) = order else {
        return Ok(None);
    };
    let lines = connection
        .query::<Line>(sql::LOCK_ITEMS, ids([order_id]))
        .await?;
    connection
        .execute(sql::DELETE_ORDER, ids([order_id]))
        .await?;

    let sale = Sale::undone(user_id, total_amount, lines);
    let changed = changed(&[order_id], &sale.lines);
    let levels = ledger::post(connection, StockPolicy::Backorder, &sale, &changed).await?;
    Ok(Some(levels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_read_and_two_are_refused() {
        let line = || b"a".to_vec();
        assert_eq!(idempotency_key(&[]), Ok(None));
        assert!(matches!(idempotency_key(&[line()]), Ok(Some(_))));
        assert!(matches!(
            idempotency_key(&[line(), line()]),
            Err(StoreError::Malformed(_))
        ));
    }
}
