//! What one transaction does for several orders. Each order succeeds or is refused on its own: a refused order leaves
//! nothing behind, and the others go on.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use store_domain::changes::{Entity, Sale, changed};
use store_domain::orders::{Order, PricedOrder};
use store_domain::settings::{PriceLookup, StockPolicy};
use store_domain::stock::{StockLevel, shortages};
use store_domain::{Cents, StoreError};
use store_guest::cache::{Turn, Write};
use store_guest::changes::ChangeSet;
use store_guest::idempotency;
use store_guest::mysql::{Abort, Connection, Ending, MysqlError, ids, padded, pieces};

use super::{Placement, Terms};
use crate::ledger::ROWS_AT_ONCE;
use crate::{ledger, sql};

/// How long the insert of a group's keys may wait for another transaction's lock. Short, because the group's other
/// orders wait meanwhile.
const PATIENCE_OF_GROUP: Duration = Duration::from_millis(50);

thread_local! {
    /// The distance between the ids that one INSERT of several rows gets (`auto_increment_increment`), once this
    /// instance has asked for it. Shared by all requests. Cleared when ids turn out to have another distance.
    static ID_INCREMENT: Cell<Option<i64>> = const { Cell::new(None) };
}

/// The result of a transaction: orders that were placed or refused.
pub(super) struct PlacedOrders {
    /// For each given order, in the same order: its id, or why it was refused.
    pub(super) outcomes: Vec<Result<i64, StoreError>>,
    /// The turn to end after the commit, and the cache writes to end it with. `None` if all orders were refused.
    pub(super) after_commit: Option<(Turn, Vec<Write>)>,
    /// The id and token of each order that was written.
    pub(super) witnesses: Vec<WriteProof>,
}

/// An order's id and the token in its row. If the row is there, everything else of the same transaction is too.
pub(super) type WriteProof = (i64, i64);

/// An order in the transaction, with its index among the given orders.
type Indexed<T> = (usize, T);

/// Does all steps of placing for each order, in the order in which every transaction takes its locks: products, users,
/// orders, stock, totals.
///
/// # Errors
/// An error that concerns all orders.
pub(super) async fn place_in(
    connection: &Connection,
    terms: &Terms,
    given: &[&Placement],
) -> Result<Ending<PlacedOrders>, Abort> {
    let mut refused = Vec::new();
    let prices = prices(connection, terms.price_lookup, given).await?;
    let mut priced = Vec::with_capacity(given.len());
    for (at, placement) in given.iter().enumerate() {
        match placement.basket.priced(&prices) {
            Ok(order) => priced.push((at, order)),
            Err(refusal) => refused.push((at, refusal)),
        }
    }
    let mut orders = insert_orders(connection, given, priced, &mut refused).await?;
    if orders.is_empty() {
        return Ok(Ending::RollBack(placed(given, orders, None, refused)));
    }
    record_keys(connection, given, &orders).await?;
    if let Err(error) = insert_items(connection, &orders).await {
        // An order was missing or belonged to another transaction: the distance between ids may have changed.
        ID_INCREMENT.set(None);
        return Err(error.into());
    }
    let sale = Sale::of(orders.iter().map(|(_, order)| order));
    ledger::post(connection, &sale).await?;
    let mut outcome = look(connection, &orders, &sale).await?;
    check_ids(&outcome, given, &orders)?;

    let mut gone = vec![];
    if terms.stock_policy == StockPolicy::Reject {
        let short = take_short(&mut orders, outcome.levels(), &mut refused);
        if orders.is_empty() {
            return Ok(Ending::RollBack(placed(given, orders, None, refused)));
        }
        if !short.is_empty() {
            gone = take_back(connection, given, &short, outcome.levels()).await?;
            outcome = look(connection, &orders, &sale).await?;
        }
    }
    let turn = outcome.mark().await?;
    let moved = outcome.levels().iter().copied().map(Write::MoveStock);
    let gone = gone
        .into_iter()
        .map(|id| Write::Forget(Entity::Product, id));
    let after_commit = Some((turn, moved.chain(gone).collect()));
    Ok(Ending::Commit(placed(given, orders, after_commit, refused)))
}

fn placed(
    given: &[&Placement],
    orders: Vec<Indexed<Order>>,
    mut after_commit: Option<(Turn, Vec<Write>)>,
    refused: Vec<Indexed<StoreError>>,
) -> PlacedOrders {
    let untold = || Err(StoreError::Internal("an order without an outcome".into()));
    let mut outcomes: Vec<_> = given.iter().map(|_| untold()).collect();
    for (at, refusal) in refused {
        outcomes[at] = Err(refusal);
    }
    let witnesses = orders
        .iter()
        .map(|(at, order)| (order.order_id, given[*at].token))
        .collect();
    for (at, order) in orders {
        outcomes[at] = Ok(order.order_id);
        if let Some((_, writes)) = &mut after_commit {
            writes.push(Write::PutOrder(order));
        }
    }
    PlacedOrders {
        outcomes,
        after_commit,
        witnesses,
    }
}

async fn prices(
    connection: &Connection,
    lookup: PriceLookup,
    given: &[&Placement],
) -> Result<Vec<(i64, Cents)>, MysqlError> {
    let products = given.iter().flat_map(|order| order.basket.product_ids());
    let products: Vec<i64> = products.collect::<BTreeSet<i64>>().into_iter().collect();
    let mut prices = Vec::with_capacity(products.len());
    let at_once = match lookup {
        PriceLookup::Batched => ROWS_AT_ONCE,
        PriceLookup::PerItem => 1,
    };
    for products in products.chunks(at_once) {
        let products = padded(products.to_vec());
        let statement = sql::prices(products.len());
        let some: Vec<(i64, Cents)> = connection.query(&statement, ids(products)).await?;
        prices.extend(some);
    }
    Ok(prices)
}

/// Inserts the orders whose users exist, and returns them with their ids. Orders of unknown users go to `refused`.
async fn insert_orders(
    connection: &Connection,
    given: &[&Placement],
    mut priced: Vec<Indexed<PricedOrder>>,
    refused: &mut Vec<Indexed<StoreError>>,
) -> Result<Vec<Indexed<Order>>, Abort> {
    if priced.is_empty() {
        return Ok(vec![]);
    }
    match insert_rows(connection, given, &priced).await {
        Err(error) if error.refers_to_nothing() => {
            let known = users(connection, &priced).await?;
            let (of_known, of_unknown): (Vec<_>, Vec<_>) = priced
                .into_iter()
                .partition(|(_, order)| known.contains(&order.user_id));
            if of_unknown.is_empty() {
                return Err(error.into());
            }
            refused.extend(of_unknown.into_iter().map(|(at, order)| {
                let text = format!("unknown user {}", order.user_id);
                (at, StoreError::Unacceptable(text))
            }));
            priced = of_known;
            if priced.is_empty() {
                return Ok(vec![]);
            }
            insert_rows(connection, given, &priced).await?;
        }
        inserted => inserted?,
    }
    let first = connection.last_insert_id().await?;
    let increment = match priced.len() {
        1 => 0,
        _ => id_increment(connection).await?,
    };
    let numbers = (0..).map(|index| first + index * increment);
    let numbered = priced.into_iter().zip(numbers);
    Ok(numbered
        .map(|((at, order), id)| (at, order.numbered(id)))
        .collect())
}

async fn insert_rows(
    connection: &Connection,
    given: &[&Placement],
    priced: &[Indexed<PricedOrder>],
) -> Result<(), MysqlError> {
    let columns = priced.iter().flat_map(|(at, order)| {
        [
            order.user_id.into(),
            order.total_amount.to_string().into(),
            given[*at].token.into(),
        ]
    });
    let statement = sql::insert_orders(priced.len());
    connection.execute(&statement, columns.collect()).await
}

async fn users(
    connection: &Connection,
    priced: &[Indexed<PricedOrder>],
) -> Result<HashSet<i64>, MysqlError> {
    let users = priced.iter().map(|(_, order)| order.user_id);
    let users: BTreeSet<i64> = users.collect();
    let users = padded(users.into_iter().collect());
    let statement = sql::users(users.len());
    let found: Vec<(i64,)> = connection.query(&statement, ids(users)).await?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

async fn id_increment(connection: &Connection) -> Result<i64, MysqlError> {
    if let Some(known) = ID_INCREMENT.get() {
        return Ok(known);
    }
    let variable = connection.first::<(String, String)>(sql::ID_INCREMENT, vec![]);
    let increment = match variable.await {
        // If the server does not tell, assume the usual distance; `check_ids` detects a wrong one.
        Ok(None) | Err(MysqlError::Server { .. }) => 1,
        Ok(Some((_, value))) => value.parse().unwrap_or(1),
        Err(error) => return Err(error),
    };
    ID_INCREMENT.set(Some(increment));
    Ok(increment)
}

/// Reads back the orders and the stock that they moved.
async fn look(
    connection: &Connection,
    orders: &[Indexed<Order>],
    sale: &Sale,
) -> Result<ChangeSet, MysqlError> {
    let order_ids: Vec<i64> = orders.iter().map(|(_, order)| order.order_id).collect();
    ChangeSet::look(connection, &changed(&order_ids, &sale.lines)).await
}

/// Checks that each id belongs to an order of this transaction. If the ids have another distance than assumed, some may
/// belong to other transactions' orders; then nothing may be committed.
fn check_ids(
    outcome: &ChangeSet,
    given: &[&Placement],
    orders: &[Indexed<Order>],
) -> Result<(), MysqlError> {
    let is_own =
        |(at, order): &Indexed<Order>| outcome.writer(order.order_id) == Some(given[*at].token);
    if orders.iter().all(is_own) {
        return Ok(());
    }
    ID_INCREMENT.set(None);
    Err(MysqlError::Unexpected(
        "order ids have an unexpected increment".into(),
    ))
}

async fn record_keys(
    connection: &Connection,
    given: &[&Placement],
    orders: &[Indexed<Order>],
) -> Result<(), Abort> {
    let claims = orders.iter().filter_map(|(at, order)| {
        let claim = given[*at].claim.as_ref()?;
        Some((claim, order.order_id))
    });
    let patience = match given.len() {
        1 => idempotency::PATIENCE,
        _ => PATIENCE_OF_GROUP,
    };
    idempotency::record_all(connection, claims.collect(), patience).await
}

async fn insert_items(
    connection: &Connection,
    orders: &[Indexed<Order>],
) -> Result<(), MysqlError> {
    let items = orders.iter().flat_map(|(_, order)| {
        let items = order.items.iter();
        items.map(|item| (order.order_id, item))
    });
    let items: Vec<_> = items.collect();
    for items in pieces(&items) {
        let mut parameters = Vec::with_capacity(items.len() * 4);
        for (order_id, item) in items {
            parameters.extend(ids([*order_id, item.product_id, item.quantity]));
            parameters.push(item.unit_price.to_string().into());
        }
        let statement = sql::insert_items(items.len());
        connection.execute(&statement, parameters).await?;
    }
    Ok(())
}

/// Removes the orders that the stock is too short for from `orders`, and returns them.
fn take_short(
    orders: &mut Vec<Indexed<Order>>,
    levels: &[StockLevel],
    refused: &mut Vec<Indexed<StoreError>>,
) -> Vec<Indexed<Order>> {
    let (places, all): (Vec<usize>, Vec<Order>) = orders.drain(..).unzip();
    let shortages = shortages(&all, levels);
    let mut short = vec![];
    for ((at, order), shortage) in places.into_iter().zip(all).zip(shortages) {
        match shortage {
            None => orders.push((at, order)),
            Some(refusal) => {
                refused.push((at, refusal));
                short.push((at, order));
            }
        }
    }
    short
}

/// Deletes what the transaction wrote for some orders. Returns the products whose stock row is deleted too, because
/// those orders had added it.
async fn take_back(
    connection: &Connection,
    given: &[&Placement],
    short: &[Indexed<Order>],
    levels: &[StockLevel],
) -> Result<Vec<i64>, Abort> {
    let order_ids: Vec<i64> = short.iter().map(|(_, order)| order.order_id).collect();
    let statement = sql::delete_orders(order_ids.len());
    connection.execute(&statement, ids(order_ids)).await?;
    let claims = short.iter().filter_map(|(at, _)| given[*at].claim.as_ref());
    idempotency::take_back(connection, claims).await?;
    ledger::post(
        connection,
        &Sale::of(short.iter().map(|(_, order)| order)).reversed(),
    )
    .await?;
    let is_new = |level: &&StockLevel| level.version == FIRST_VERSION;
    let added: Vec<i64> = levels
        .iter()
        .filter(is_new)
        .map(|level| level.product_id)
        .collect();
    for added in added.chunks(ROWS_AT_ONCE) {
        let statement = sql::delete_stock(added.len());
        connection.execute(&statement, ids(added.to_vec())).await?;
    }
    Ok(added)
}

/// The version of a stock row that was just added. Such a row starts without pieces, so no order that stays took any
/// from it.
const FIRST_VERSION: i64 = 1;
