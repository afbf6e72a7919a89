//! Creating and deleting products, and setting their stock: each is one transaction, followed by the cache.

use serde::Serialize;
use spin_sdk::http::StatusCode;
use store_domain::changes::Entity;
use store_domain::products::NewProduct;
use store_domain::stock::{NewStock, StockLevel, StockedProduct};
use store_domain::{Cents, StoreError};
use store_guest::cache::{self, Write};
use store_guest::changes;
use store_guest::mysql::{Abort, Connection, MysqlError, ids, transaction};
use store_guest::{Problem, Reply, Request, variables};

use crate::sql;

/// `POST /products`
pub(crate) async fn create_product(request: &Request) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Created {
        product_id: i64,
    }
    let product: NewProduct = request.json().await?;
    let price = product.check()?;
    let mysql_url = variables::mysql_url().await?;
    let product_id = transaction(&mysql_url, async |connection| {
        create_product_in(connection, &product, price).await
    })
    .await?;
    Ok(Reply::json(StatusCode::CREATED, &Created { product_id }))
}

async fn create_product_in(
    connection: &Connection,
    product: &NewProduct,
    price: Cents,
) -> Result<i64, Abort> {
    let columns = vec![
        product.name.clone().into(),
        product.sku.clone().into(),
        price.to_string().into(),
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
    let deleted = transaction(&mysql_url, async |connection| {
        delete_product_in(connection, product_id).await
    })
    .await?;
    if deleted {
        cache::write_after_commit([Write::Forget(Entity::Product, product_id)]).await;
    }
    Ok(Reply::deleted(deleted))
}

/// Says whether there was such a product.
async fn delete_product_in(connection: &Connection, product_id: i64) -> Result<bool, Abort> {
    let found = connection
        .first::<(i64,)>(sql::LOCK_PRODUCT, ids([product_id]))
        .await?;
    if found.is_none() {
        return Ok(false);
    }
    connection
        .execute(sql::DELETE_PRODUCT, ids([product_id]))
        .await
        .map_err(|error| still_ordered(error, product_id))?;
    changes::note(connection, &[(Entity::Product, product_id)]).await?;
    Ok(true)
}

fn still_ordered(error: MysqlError, product_id: i64) -> Abort {
    if error.is_referred_to() {
        StoreError::Conflict(format!("there are orders of product {product_id}")).into()
    } else {
        error.into()
    }
}

/// `POST /stocks`
pub(crate) async fn set_stock(request: &Request) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct Set {
        result: String,
    }
    let stock: NewStock = request.json().await?;
    stock.check()?;
    let mysql_url = variables::mysql_url().await?;
    let (product, existed) = transaction(&mysql_url, async |connection| {
        set_stock_in(connection, stock).await
    })
    .await?;
    cache::write_after_commit([Write::PutStock(product)]).await;
    // The words of the older API.
    let result = if existed {
        "rows updated: 1".to_owned()
    } else {
        format!("rows added, product {}", stock.product_id)
    };
    Ok(Reply::json(StatusCode::CREATED, &Set { result }))
}

/// Gives the product as it is from now on, and whether it had stock before.
async fn set_stock_in(
    connection: &Connection,
    stock: NewStock,
) -> Result<(StockedProduct, bool), Abort> {
    let NewStock {
        product_id,
        quantity,
    } = stock;
    let (name, sku, unit_price) = connection
        .first::<(String, String, Cents)>(sql::KEEP_PRODUCT, ids([product_id]))
        .await?
        .ok_or_else(|| StoreError::Unacceptable(format!("unknown product {product_id}")))?;
    let version = connection
        .first::<(i64,)>(sql::LOCK_STOCK, ids([product_id]))
        .await?
        .map(|(version,)| version);
    connection
        .execute(sql::SET_STOCK, ids([product_id, quantity]))
        .await?;
    changes::note(connection, &[(Entity::Product, product_id)]).await?;
    let product = StockedProduct {
        name,
        sku,
        unit_price,
        level: StockLevel {
            product_id,
            quantity,
            version: version.unwrap_or(0) + 1,
        },
    };
    Ok((product, version.is_some()))
}
