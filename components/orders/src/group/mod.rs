//! Orders that wait at the same time share one transaction: ADR 15.
//!
//! - `gathering.rs`: which orders wait, and which go next; no I/O.
//! - `member.rs`: one order in a group, as its own request sees it.
//! - `run.rs`: takes a group through its transactions, first as a whole and, if that fails, in parts.
//! - `placing.rs`: what one transaction does.
//!
//! Nothing here reads a request or writes an answer; `write.rs` does both.

mod gathering;
mod member;
mod placing;
mod run;

use store_domain::StoreError;
use store_domain::idempotency::Claim;
use store_domain::orders::Basket;
use store_domain::settings::{
    GroupBytes, GroupItems, GroupOrders, OrderCommit, PriceLookup, StockPolicy,
};
use store_guest::mysql::{Abort, write_token};
use store_guest::variables;

use self::gathering::Bounds;

/// How orders are placed, as the instance's variables say.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) mysql_url: String,
    price_lookup: PriceLookup,
    stock_policy: StockPolicy,
    commit: OrderCommit,
    bounds: Bounds,
}

impl Terms {
    pub(crate) async fn read() -> Result<Self, StoreError> {
        let GroupOrders(orders) = variables::setting().await?;
        let GroupItems(items) = variables::setting().await?;
        let GroupBytes(bytes) = variables::setting().await?;
        Ok(Self {
            mysql_url: variables::mysql_url().await?,
            price_lookup: variables::setting().await?,
            stock_policy: variables::setting().await?,
            commit: variables::setting().await?,
            bounds: Bounds {
                orders,
                items,
                bytes,
            },
        })
    }
}

/// An order that has to be placed.
pub(crate) struct Placement {
    basket: Basket,
    claim: Option<Claim>,
    /// A random number in the order's row, by which the row is recognized after a lost commit.
    token: i64,
    /// The length of the request's body in bytes.
    bytes: usize,
}

impl Placement {
    pub(crate) fn new(basket: &Basket, claim: Option<&Claim>, bytes: usize) -> Self {
        Self {
            basket: basket.clone(),
            claim: claim.cloned(),
            token: write_token(),
            bytes,
        }
    }
}

/// Places an order, together with others that wait at the same time, and updates the cache. Returns the order's id.
///
/// # Errors
/// The error that the order would get alone.
pub(crate) async fn place(terms: &Terms, order: Placement) -> Result<i64, Abort> {
    if terms.commit == OrderCommit::Grouped && terms.bounds.fit(&order) {
        return member::join(terms, order).await;
    }
    run::alone(terms, &order).await
}
