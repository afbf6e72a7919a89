//! Creates and reads users, and deletes them together with their orders.

use std::time::{Duration, Instant};

use serde::Serialize;
use spin_sdk::http::StatusCode;
use store_domain::StoreError;
use store_domain::idempotency::{Claim, Route};
use store_domain::users::{NewUser, User};
use store_guest::mysql::{
    Abort, Connection, MysqlError, TransactionFate, exists, ids, may_be_stale, transaction,
    write_token,
};
use store_guest::{Problem, Reply, Request, idempotency, json, variables};

use crate::ledger::ROWS_AT_ONCE;
use crate::{sql, undo};

/// `POST /users`
pub(crate) async fn create(request: &Request) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct CreatedUser {
        user_id: i64,
    }
    let key = idempotency::key(request)?;
    let body = request.json_bytes().await?;
    let user: NewUser = json::parse(&body)?;
    user.check()?;
    let claim = key.map(|key| key.claim(Route::Users, &body));
    let mysql_url = variables::mysql_url().await?;
    let user_id = idempotency::once(&mysql_url, claim.as_ref(), async || {
        create_new(&mysql_url, &user, claim.as_ref()).await
    })
    .await?;
    Ok(Reply::json(StatusCode::CREATED, &CreatedUser { user_id }))
}

async fn create_new(mysql_url: &str, user: &NewUser, claim: Option<&Claim>) -> Result<i64, Abort> {
    let token = write_token();
    transaction(
        mysql_url,
        async |connection| create_in(connection, user, claim, token).await,
        async |connection, user_id| {
            TransactionFate::of_insert(connection, sql::USER_WRITER, *user_id, token).await
        },
    )
    .await
}

async fn create_in(
    connection: &Connection,
    user: &NewUser,
    claim: Option<&Claim>,
    token: i64,
) -> Result<i64, Abort> {
    let columns = vec![
        user.name.clone().into(),
        user.email.clone().into(),
        token.into(),
    ];
    connection
        .execute(sql::INSERT_USER, columns)
        .await
        .map_err(taken_email)?;
    let user_id = connection.last_insert_id().await?;
    connection
        .execute(sql::INSERT_USER_TOTAL, ids([user_id]))
        .await?;
    idempotency::record(connection, claim, user_id).await?;
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
        .first::<(i64, String, String)>(&may_be_stale(sql::USER), ids([user_id]))
        .await?
        .ok_or_else(|| StoreError::NotFound(format!("there is no user {user_id}")))?;
    Ok(Reply::json(StatusCode::OK, &User { id, name, email }))
}

/// How long one request deletes orders: well below our host's own limit for a request, at which the client would not
/// learn that something is left to delete.
const LIMIT: Duration = Duration::from_secs(20);

/// `DELETE /users/{id}`. First deletes the user's orders, and then the user. One transaction deletes orders with as
/// many lines in total as one order may have, so that other requests for the same stock wait no longer than for an
/// order. If the deletion ends early, the user has fewer orders, and the next request continues from there.
pub(crate) async fn delete(user_id: i64) -> Result<Reply, Problem> {
    let mysql_url = variables::mysql_url().await?;
    if !exists(&mysql_url, sql::USER_EXISTS, user_id).await? {
        return Ok(Reply::deleted(false));
    }
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        let order_ids = some_orders(&mysql_url, user_id).await?;
        if !order_ids.is_empty() {
            undo::orders(&mysql_url, &order_ids).await?;
            continue;
        }
        match delete_alone(&mysql_url, user_id).await? {
            Departure::Deleted => return Ok(Reply::deleted(true)),
            Departure::WasGone => return Ok(Reply::deleted(false)),
            // The user ordered after the orders were listed. That order was accepted, so it is deleted too.
            Departure::HasOrdered => {}
        }
    }
    Err(StoreError::Unfinished(format!(
        "user {user_id} has so many orders that only some are deleted yet: repeat the request"
    ))
    .into())
}

async fn some_orders(mysql_url: &str, user_id: i64) -> Result<Vec<i64>, MysqlError> {
    let connection = Connection::open(mysql_url).await?;
    let found = connection.query::<(i64, i64)>(sql::SOME_ORDERS_OF_USER, ids([user_id]));
    Ok(for_one_transaction(&found.await?))
}

/// The first of these orders that together have no more lines than one order may have; at least one order.
fn for_one_transaction(orders: &[(i64, i64)]) -> Vec<i64> {
    let most = i64::try_from(ROWS_AT_ONCE).unwrap_or(i64::MAX);
    let mut sum = 0;
    let fits = orders.iter().take_while(|(_, lines)| {
        let is_first = sum == 0;
        sum += lines;
        is_first || sum <= most
    });
    fits.map(|(order_id, _)| *order_id).collect()
}

/// The result of trying to delete a user without orders.
enum Departure {
    Deleted,
    WasGone,
    HasOrdered,
}

async fn delete_alone(mysql_url: &str, user_id: i64) -> Result<Departure, Abort> {
    transaction(
        mysql_url,
        async |connection| delete_in(connection, user_id).await,
        async |connection, departure| match departure {
            Departure::Deleted => {
                TransactionFate::of_delete(connection, sql::USER_WRITER, user_id).await
            }
            // Nothing was changed, so there was nothing to commit.
            Departure::WasGone | Departure::HasOrdered => Ok(TransactionFate::Committed),
        },
    )
    .await
}

async fn delete_in(connection: &Connection, user_id: i64) -> Result<Departure, Abort> {
    let found = connection
        .first::<(i64,)>(sql::LOCK_USER, ids([user_id]))
        .await?;
    if found.is_none() {
        return Ok(Departure::WasGone);
    }
    match connection.execute(sql::DELETE_USER, ids([user_id])).await {
        Ok(()) => Ok(Departure::Deleted),
        Err(error) if error.is_referred_to() => Ok(Departure::HasOrdered),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_deleted_together_up_to_the_lines_of_one() {
        assert_eq!(for_one_transaction(&[]), [0; 0]);
        assert_eq!(for_one_transaction(&[(1, 700), (2, 1)]), [1]);
        assert_eq!(for_one_transaction(&[(1, 499), (2, 1), (3, 1)]), [1, 2]);
        let small: Vec<_> = (1..=100).map(|order_id| (order_id, 5)).collect();
        assert_eq!(for_one_transaction(&small).len(), 100);
    }
}
