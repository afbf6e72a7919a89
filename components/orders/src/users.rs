//! Users: created, read, and deleted together with their orders.

use serde::Serialize;
use spin_sdk::http::StatusCode;
use store_domain::StoreError;
use store_domain::changes::{Entity, Sale, changed};
use store_domain::orders::Line;
use store_domain::settings::StockPolicy;
use store_domain::stock::StockLevel;
use store_domain::users::{NewUser, User};
use store_guest::cache::{self, Write};
use store_guest::mysql::{Abort, Connection, MysqlError, ids, transaction};
use store_guest::{Problem, Reply, Request, variables};

use crate::{ledger, sql};

/// `POST /users`
pub(crate) async fn create(request: &Request) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Created {
        user_id: i64,
    }
    let user: NewUser = request.json().await?;
    user.check()?;
    let mysql_url = variables::mysql_url().await?;
    let user_id = transaction(&mysql_url, async |connection| {
        create_in(connection, &user).await
    })
    .await?;
    Ok(Reply::json(StatusCode::CREATED, &Created { user_id }))
}

async fn create_in(connection: &Connection, user: &NewUser) -> Result<i64, Abort> {
    let columns = vec![user.name.clone().into(), user.email.clone().into()];
    connection
        .execute(sql::INSERT_USER, columns)
        .await
        .map_err(taken_email)?;
    let user_id = connection.last_insert_id().await?;
    connection
        .execute(sql::INSERT_USER_TOTAL, ids([user_id]))
        .await?;
    Ok(user_id)
}

fn taken_email(error: MysqlError) -> Abort {
    if error.is_duplicate() {
        StoreError::Conflict("another user has this email".into()).into()
    } else {
        error.into()
    }
}

/// `GET /users/{id}`
pub(crate) async fn get(user_id: i64) -> Result<Reply, Problem> {
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    let (id, name, email) = connection
        .first::<(i64, String, String)>(sql::USER, ids([user_id]))
        .await?
        .ok_or_else(|| StoreError::NotFound(format!("there is no user {user_id}")))?;
    Ok(Reply::json(StatusCode::OK, &User { id, name, email }))
}

/// `DELETE /users/{id}`
pub(crate) async fn delete(user_id: i64) -> Result<Reply, Problem> {
    let mysql_url = variables::mysql_url().await?;
    let undone = transaction(&mysql_url, async |connection| {
        delete_in(connection, user_id).await
    })
    .await?;
    let deleted = undone.is_some();
    if let Some(Undone { orders, levels }) = undone {
        let orders = orders
            .into_iter()
            .map(|id| Write::Forget(Entity::Order, id));
        let stock = levels.into_iter().map(Write::MoveStock);
        cache::write_after_commit(orders.chain(stock)).await;
    }
    Ok(Reply::deleted(deleted))
}

/// What went with a user.
struct Undone {
    orders: Vec<i64>,
    levels: Vec<StockLevel>,
}

/// Deletes the user as if each order had been deleted first. `None` if there is no such user.
async fn delete_in(connection: &Connection, user_id: i64) -> Result<Option<Undone>, Abort> {
    let user = || ids([user_id]);
    let found = connection.first::<(i64,)>(sql::LOCK_USER, user()).await?;
    if found.is_none() {
        return Ok(None);
    }
    let orders: Vec<i64> = connection
        .query::<(i64,)>(sql::LOCK_ORDERS_OF_USER, user())
        .await?
        .into_iter()
        .map(|(id,)| id)
        .collect();
    let lines = connection
        .query::<Line>(sql::LOCK_LINES_OF_USER, user())
        .await?;
    connection
        .execute(sql::DELETE_ORDERS_OF_USER, user())
        .await?;
    connection.execute(sql::DELETE_USER, user()).await?;

    let sale = Sale::undone_with_user(lines);
    let changed = changed(&orders, &sale.lines);
    let levels = ledger::post(connection, StockPolicy::Backorder, &sale, &changed).await?;
    Ok(Some(Undone { orders, levels }))
}
