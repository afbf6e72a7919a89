//! Inserts a dataset's rows into MySQL.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Transaction, Value};
use store_domain::Cents;

use super::dataset::Dataset;
use crate::progress::Progress;

/// The rows of one statement: with 5 columns, far below the protocol's limit of 65,535 parameters. More rows gain
/// nothing.
const BATCH_ROWS: usize = 1_000;

/// The rows of one table. They are made one batch at a time, because all rows of a large store take gigabytes.
struct TableRows<const COLUMNS: usize, Rows> {
    name: &'static str,
    columns: [&'static str; COLUMNS],
    count: usize,
    rows: Rows,
}

/// Inserts all rows, and the totals that the reports read.
pub(super) async fn insert_all(
    conn: &mut Transaction<'_>,
    data: &Dataset,
    progress: Progress,
) -> Result<()> {
    users(data).insert(conn, progress).await?;
    products(data).insert(conn, progress).await?;
    stocks(data).insert(conn, progress).await?;
    orders(data).insert(conn, progress).await?;
    order_items(data).insert(conn, progress).await?;
    user_totals(data).insert(conn, progress).await?;
    product_totals(data).insert(conn, progress).await
}

impl<const COLUMNS: usize, Rows: Iterator<Item = [Value; COLUMNS]>> TableRows<COLUMNS, Rows> {
    async fn insert(mut self, conn: &mut Transaction<'_>, progress: Progress) -> Result<()> {
        let step = progress.step(self.name, self.count as u64);
        loop {
            let batch = self.rows.by_ref().take(BATCH_ROWS);
            let parameters: Vec<Value> = batch.flatten().collect();
            if parameters.is_empty() {
                break;
            }
            let rows = parameters.len() / COLUMNS;
            conn.exec_drop(self.statement(rows), Params::Positional(parameters))
                .await
                .with_context(|| format!("filling {}", self.name))?;
            step.advance(rows);
        }
        step.finish();
        Ok(())
    }

    /// Every full batch has the same text, so that the server prepares it once.
    fn statement(&self, rows: usize) -> String {
        let row = format!("({})", ["?"; COLUMNS].join(","));
        let columns = self.columns.join(", ");
        format!(
            "INSERT INTO {} ({columns}) VALUES {}",
            self.name,
            vec![row; rows].join(",")
        )
    }
}

fn users(data: &Dataset) -> TableRows<3, impl Iterator<Item = [Value; 3]>> {
    let rows = data
        .users
        .iter()
        .map(|user| [user.id.into(), (&user.name).into(), (&user.email).into()]);
    TableRows {
        name: "users",
        columns: ["id", "name", "email"],
        count: data.users.len(),
        rows,
    }
}

fn products(data: &Dataset) -> TableRows<4, impl Iterator<Item = [Value; 4]>> {
    let rows = data.products.iter().map(|product| {
        let price = product.unit_price.to_string();
        [
            product.level.product_id.into(),
            (&product.name).into(),
            (&product.sku).into(),
            price.into(),
        ]
    });
    TableRows {
        name: "products",
        columns: ["id", "name", "sku", "price"],
        count: data.products.len(),
        rows,
    }
}

fn stocks(data: &Dataset) -> TableRows<3, impl Iterator<Item = [Value; 3]>> {
    let levels = data.products.iter().map(|product| product.level);
    let rows = levels.map(|level| {
        [
            level.product_id.into(),
            level.quantity.into(),
            level.version.into(),
        ]
    });
    TableRows {
        name: "stocks",
        columns: ["product_id", "quantity", "version"],
        count: data.products.len(),
        rows,
    }
}

fn orders(data: &Dataset) -> TableRows<3, impl Iterator<Item = [Value; 3]>> {
    let rows = data.orders.iter().map(|order| {
        let total = order.total_amount.to_string();
        [order.order_id.into(), order.user_id.into(), total.into()]
    });
    TableRows {
        name: "orders",
        columns: ["id", "user_id", "total_amount"],
        count: data.orders.len(),
        rows,
    }
}

fn order_items(data: &Dataset) -> TableRows<4, impl Iterator<Item = [Value; 4]>> {
    let items = data
        .orders
        .iter()
        .flat_map(|order| order.items.iter().map(move |item| (order.order_id, item)));
    let rows = items.map(|(order_id, item)| {
        let price = item.unit_price.to_string();
        [
            order_id.into(),
            item.product_id.into(),
            item.quantity.into(),
            price.into(),
        ]
    });
    let columns = ["order_id", "product_id", "quantity", "unit_price"];
    TableRows {
        name: "order_items",
        columns,
        count: data.orders.iter().map(|order| order.items.len()).sum(),
        rows,
    }
}

fn user_totals(data: &Dataset) -> TableRows<2, impl Iterator<Item = [Value; 2]>> {
    let mut totals: BTreeMap<i64, Vec<Cents>> = data
        .users
        .iter()
        .map(|user| (user.id, Vec::new()))
        .collect();
    for order in &data.orders {
        totals
            .entry(order.user_id)
            .or_default()
            .push(order.total_amount);
    }
    let count = totals.len();
    let rows = totals.into_iter().map(|(user_id, amounts)| {
        let total: Cents = amounts.into_iter().sum();
        [user_id.into(), total.to_string().into()]
    });
    TableRows {
        name: "user_totals",
        columns: ["user_id", "total_expense"],
        count,
        rows,
    }
}

fn product_totals(data: &Dataset) -> TableRows<2, impl Iterator<Item = [Value; 2]>> {
    let mut totals: BTreeMap<i64, i64> = data
        .products
        .iter()
        .map(|product| (product.level.product_id, 0))
        .collect();
    for item in data.orders.iter().flat_map(|order| &order.items) {
        *totals.entry(item.product_id).or_default() += item.quantity;
    }
    let count = totals.len();
    let rows = totals
        .into_iter()
        .map(|(product_id, sold)| [product_id.into(), sold.into()]);
    TableRows {
        name: "product_totals",
        columns: ["product_id", "quantity_sold"],
        count,
        rows,
    }
}
