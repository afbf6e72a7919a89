//! Places and deletes orders.

use serde::Serialize;
use spin_sdk::http::StatusCode;
use store_domain::idempotency::Route;
use store_domain::orders::NewOrder;
use store_guest::{Problem, Reply, Request, idempotency, json, variables};

use crate::group::{Placement, Terms};
use crate::{group, sql, undo};

/// `POST /orders`
pub(crate) async fn place(request: &Request) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct PlacedOrder {
        order_id: i64,
    }
    let key = idempotency::key(request)?;
    let body = request.json_bytes().await?;
    let basket = json::parse::<NewOrder>(&body)?.into_basket()?;
    let claim = key.map(|key| key.claim(Route::Orders, &body));
    let bytes = body.len();
    // The body is dropped early: many orders wait for a group at once, and share the memory of one instance.
    drop(body);
    let terms = Terms::read().await?;
    let order_id = idempotency::once(&terms.mysql_url, claim.as_ref(), async || {
        group::place(&terms, Placement::new(&basket, claim.as_ref(), bytes)).await
    })
    .await?;
    Ok(Reply::json(StatusCode::CREATED, &PlacedOrder { order_id }))
}

/// `DELETE /orders/{id}`
pub(crate) async fn delete(order_id: i64) -> Result<Reply, Problem> {
    let mysql_url = variables::mysql_url().await?;
    let found = store_guest::mysql::exists(&mysql_url, sql::ORDER_EXISTS, order_id).await?;
    let deleted = found && undo::orders(&mysql_url, &[order_id]).await?;
    Ok(Reply::deleted(deleted))
}
