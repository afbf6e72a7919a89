//! Creates and deletes products, and sets their stock. Each is one transaction, followed by an update of the cache.

use serde::Serialize;
use spin_sdk::http::StatusCode;
use store_domain::changes::Entity;
use store_domain::idempotency::{Claim, Route};
use store_domain::products::NewProduct;
use store_domain::stock::{NewStock, StockLevel, StockedProduct};
use store_domain::{Cents, StoreError};
use store_guest::cache::{Turn, Write};
use store_guest::mysql::{
    Abort, Connection, MysqlError, TransactionFate, exists, ids, transaction, write_token,
};
use store_guest::{Problem, Reply, Request, changes, idempotency, json, variables};

use crate::sql;

/// `POST /products`
pub(crate) async fn create_product(request: &Request) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct CreatedProduct {
        product_id: i64,
    }
    let key = idempotency::key(request)?;
    let body = request.json_bytes().await?;
    let product: NewProduct = json::parse(&body)?;
    let price = product.check()?;
    let claim = key.map(|key| key.claim(Route::Products, &body));
    let mysql_url = variables::mysql_url().await?;
    let product_id = idempotency::once(&mysql_url, claim.as_ref(), async || {
        create_new(&mysql_url, &product, price, claim.as_ref()).await
    })
    .await?;
    Ok(Reply::json(
        StatusCode::CREATED,
        &CreatedProduct { product_id },
    ))
}

async fn create_new(
    mysql_url: &str,
    product: &NewProduct,
    price: Cents,
    claim: Option<&Claim>,
) -> Result<i64, Abort> {
    let token = write_token();
    transaction(
        mysql_url,
        async |connection| {
            let product_id = insert_product(connection, product, price, token).await?;
            idempotency::record(connection, claim, product_id).await?;
            Ok(product_id)
        },
        async |connection, product_id| {
            TransactionFate::of_insert(connection, sql::PRODUCT_WRITER, *product_id, token).await
        },
    )
    .await
}

async fn insert_product(
    connection: &Connection,
    product: &NewProduct,
    price: Cents,
    token: i64,
) -> Result<i64, MysqlError> {
    let columns = vec![
        product.name.clone().into(),
        product.sku.clone().into(),
        price.to_string().into(),
        token.into(),
    ];
    connection.execute(sql::INSERT_PRODUCT, columns).await?;
    let product_id = connection.last_insert_id().await?;
    connection
        .execute(sql::INSERT_PRODUCT_TOTAL, ids([product_id]))
        .await?;
    Ok(product_id)
}

/// `DELETE /products/{id}`
pub(crate) async fn delete_product(product_id: i64) -> Result<Reply, Problem> {
    let mysql_url = variables::mysql_url().await?;
    if !exists(&mysql_url, sql::PRODUCT_EXISTS, product_id).await? {
        return Ok(Reply::deleted(false));
    }
    let turn = transaction(
        &mysql_url,
        async |connection| delete_product_in(connection, product_id).await,
        async |connection, _| {
            TransactionFate::of_delete(connection, sql::PRODUCT_WRITER, product_id).await
        },
    )
    .await?;
    let Some(turn) = turn else {
        return Ok(Reply::deleted(false));
    };
    turn.end([Write::Forget(Entity::Product, product_id)]).await;
    Ok(Reply::deleted(true))
}

/// Deletes a product in the transaction of `connection`. Returns the turn at its cache entry, or `None` if there was no
/// such product.
async fn delete_product_in(
    connection: &Connection,
    product_id: i64,
) -> Result<Option<Turn>, Abort> {
    let found = connection
        .first::<(i64,)>(sql::LOCK_PRODUCT, ids([product_id]))
        .await?;
    if found.is_none() {
        return Ok(None);
    }
    connection
        .execute(sql::DELETE_PRODUCT, ids([product_id]))
        .await
        .map_err(|error| still_ordered(error, product_id))?;
    let turn = changes::note(connection, &[(Entity::Product, product_id)]).await?;
    Ok(Some(turn))
}

fn still_ordered(error: MysqlError, product_id: i64) -> Abort {
    if error.is_referred_to() {
        StoreError::Conflict(format!("there are orders of product {product_id}")).into()
    } else {
        error.into()
    }
}

/// The version of a stock row that was just added.
const FIRST_VERSION: i64 = 1;

/// `POST /stocks`
pub(crate) async fn set_stock(request: &Request) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct StockAnswer {
        result: String,
    }
    let key = idempotency::key(request)?;
    let body = request.json_bytes().await?;
    let stock: NewStock = json::parse(&body)?;
    stock.check()?;
    let claim = key.map(|key| key.claim(Route::Stocks, &body));
    let mysql_url = variables::mysql_url().await?;
    let added = idempotency::once(&mysql_url, claim.as_ref(), async || {
        set_anew(&mysql_url, stock, claim.as_ref()).await
    })
    .await?;
    // The wording of the older API.
    let result = match added {
        UPDATED => "rows updated: 1".to_owned(),
        product_id => format!("rows added, product {product_id}"),
    };
    Ok(Reply::json(StatusCode::CREATED, &StockAnswer { result }))
}

/// The answer that is stored for an update. No product has this id.
const UPDATED: i64 = 0;

/// Sets the stock, commits, and then updates the cache. Returns the product's id if it had no stock before, otherwise
/// [`UPDATED`].
async fn set_anew(mysql_url: &str, stock: NewStock, claim: Option<&Claim>) -> Result<i64, Abort> {
    let token = write_token();
    let (product, answer, turn) = transaction(
        mysql_url,
        async |connection| {
            let product = set_stock_in(connection, stock, token).await?;
            let answer = match product.level.version {
                FIRST_VERSION => stock.product_id,
                _ => UPDATED,
            };
            idempotency::record(connection, claim, answer).await?;
            let turn = changes::note(connection, &[(Entity::Product, stock.product_id)]).await?;
            Ok((product, answer, turn))
        },
        async |connection, (product, ..)| set_fate(connection, product.level, token).await,
    )
    .await?;
    turn.end([Write::PutStock(product)]).await;
    Ok(answer)
}

/// Sets the stock, and returns the product with its new stock.
async fn set_stock_in(
    connection: &Connection,
    stock: NewStock,
    token: i64,
) -> Result<StockedProduct, Abort> {
    let NewStock {
        product_id,
        quantity,
    } = stock;
    let (name, sku, unit_price) = connection
        .first::<(String, String, Cents)>(sql::KEEP_PRODUCT, ids([product_id]))
        .await?
        .ok_or_else(|| StoreError::Unacceptable(format!("unknown product {product_id}")))?;
    connection
        .execute(sql::SET_STOCK, ids([product_id, quantity, token]))
        .await?;
    let (version,) = connection
        .first::<(i64,)>(sql::SET_VERSION, ids([product_id]))
        .await?
        .ok_or_else(|| StoreError::Internal("the stock that was set is not there".into()))?;
    Ok(StockedProduct {
        name,
        sku,
        unit_price,
        level: StockLevel {
            product_id,
            quantity,
            version,
        },
    })
}

/// Whether the stock was set to `level`. If another request has set the row since, that can't be found out.
async fn set_fate(
    connection: &Connection,
    level: StockLevel,
    token: i64,
) -> Result<TransactionFate, MysqlError> {
    let found = connection
        .first::<(Option<i64>, i64)>(sql::STOCK_WRITER, ids([level.product_id]))
        .await?;
    Ok(match found {
        Some((Some(writer), _)) if writer == token => TransactionFate::Committed,
        Some((_, version)) if version >= level.version => TransactionFate::Unknown,
        _ => TransactionFate::RolledBack,
    })
}
