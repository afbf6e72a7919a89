//! Orders that wait at the same time go into one transaction: ADR 15.
//!
//! - `gathering.rs` is who waits, and who goes next; no I/O.
//! - `member.rs` is one order's way through it, from its own request's point of view.
//! - `run.rs` takes a group through its transactions: together, and if that fails in parts.
//! - `placing.rs` is what one transaction does.
//!
//! Nothing here reads a request or writes an answer: `write.rs` does both.

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

/// How orders are placed: the variables of the instance.
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

/// An order that is to be placed.
pub(crate) struct Placement {
    basket: Basket,
    claim: Option<Claim>,
    /// By which its row is found again.
    token: i64,
    /// The length of its body.
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

/// Places an order, together with others that wait at the same time, and brings the cache in line. Gives its id.
///
/// # Errors
/// What the order would fail with if it were alone.
pub(crate) async fn place(terms: &Terms, order: Placement) -> Result<i64, Abort> {
    if terms.commit == OrderCommit::Grouped && terms.bounds.fit(&order) {
        return member::join(terms, order).await;
    }
    run::alone(terms, &order).await
}
