//! Stock: what orders do to it, and what setting it means.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::orders::Line;
use crate::settings::StockPolicy;
use crate::{Cents, StoreError, whole};

/// Most pieces that can be set: what a signed 32-bit integer holds, GraphQL's `Int`.
const MAX_STOCK: i64 = i32::MAX as i64;

/// The body of `POST /stocks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewStock {
    /// Which product.
    #[serde(deserialize_with = "whole::number")]
    pub product_id: i64,
    /// How many pieces there are from now on.
    #[serde(deserialize_with = "whole::number")]
    pub quantity: i64,
}

impl NewStock {
    /// Checks the quantity.
    ///
    /// # Errors
    /// [`StoreError::Unacceptable`] if it is negative or too large.
    pub fn check(&self) -> Result<(), StoreError> {
        if (0..=MAX_STOCK).contains(&self.quantity) {
            return Ok(());
        }
        Err(StoreError::Unacceptable(format!(
            "quantity must be from 0 to {MAX_STOCK}"
        )))
    }
}

/// How many pieces of a product there are, as `GET /stocks/{product_id}` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stock {
    /// Which product.
    pub product_id: i64,
    /// How many pieces; below zero if more were ordered than there were.
    pub quantity: i64,
}

/// A row of `stocks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockLevel {
    /// Which product.
    pub product_id: i64,
    /// How many pieces.
    pub quantity: i64,
    /// Grows with each change, so that a late write to Redis never replaces a newer one.
    pub version: i64,
}

/// A product and its stock: what Redis holds under the product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockedProduct {
    /// What the product is called.
    pub name: String,
    /// The shop's own code for it.
    pub sku: String,
    /// What one piece costs.
    pub unit_price: Cents,
    /// How many pieces there are.
    pub level: StockLevel,
}

/// The levels after `sold` pieces left, or came back where the number is negative. A product without a stock row has
/// no pieces.
///
/// # Errors
/// [`StoreError::Conflict`] under [`StockPolicy::Reject`] if there are fewer pieces of a product than are to leave.
pub fn after_sale(
    policy: StockPolicy,
    sold: &[Line],
    levels: &[StockLevel],
) -> Result<Vec<StockLevel>, StoreError> {
    let levels: HashMap<i64, &StockLevel> = levels
        .iter()
        .map(|level| (level.product_id, level))
        .collect();
    sold.iter()
        .map(|line| {
            let level = levels.get(&line.product_id);
            let before = level.map_or(0, |level| level.quantity);
            // Not `> before`: pieces that come back are welcome while earlier backorders keep the level below zero.
            if policy == StockPolicy::Reject && line.quantity > before.max(0) {
                return Err(StoreError::Conflict(format!(
                    "insufficient stock of product {}",
                    line.product_id
                )));
            }
            Ok(StockLevel {
                product_id: line.product_id,
                quantity: before - line.quantity,
                version: level.map_or(0, |level| level.version) + 1,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(product_id: i64, quantity: i64, version: i64) -> StockLevel {
        StockLevel {
            product_id,
            quantity,
            version,
        }
    }

    fn line(product_id: i64, quantity: i64) -> Line {
        Line {
            product_id,
            quantity,
        }
    }

    #[test]
    fn a_sale_takes_pieces_and_counts_the_version() {
        let after = after_sale(
            StockPolicy::Reject,
            &[line(1, 2), line(2, 5)],
            &[level(1, 10, 3), level(2, 5, 8)],
        );
        assert_eq!(after, Ok(vec![level(1, 8, 4), level(2, 0, 9)]));
    }

    #[test]
    fn a_backorder_goes_below_zero() {
        let after = after_sale(
            StockPolicy::Backorder,
            &[line(1, 2), line(2, 1)],
            &[level(1, 1, 1)],
        );
        assert_eq!(after, Ok(vec![level(1, -1, 2), level(2, -1, 1)]));
    }

    #[test]
    fn reject_names_the_product_that_is_short() {
        for levels in [&[level(1, 9, 1), level(2, 2, 1)][..], &[level(1, 9, 1)]] {
            let after = after_sale(StockPolicy::Reject, &[line(1, 1), line(2, 3)], levels);
            assert_eq!(
                after,
                Err(StoreError::Conflict(
                    "insufficient stock of product 2".into()
                ))
            );
        }
    }

    #[test]
    fn giving_back_is_never_rejected() {
        let after = after_sale(StockPolicy::Reject, &[line(1, -2)], &[level(1, -5, 7)]);
        assert_eq!(after, Ok(vec![level(1, -3, 8)]));
    }

    #[test]
    fn a_quantity_out_of_range_is_refused() {
        for (quantity, fine) in [
            (0, true),
            (MAX_STOCK, true),
            (-1, false),
            (MAX_STOCK + 1, false),
        ] {
            let stock = NewStock {
                product_id: 1,
                quantity,
            };
            assert_eq!(stock.check().is_ok(), fine, "{quantity}");
        }
    }
}
