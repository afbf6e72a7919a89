//! Stock: what orders do to it, and what setting it means.

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
    /// Grows with each change, and names the turn of whoever writes this change to Redis.
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

/// Says whether `sold` pieces may have left, given the levels that this left behind. Both are in the same order. A number
/// of pieces below zero came back.
///
/// # Errors
/// [`StoreError::Conflict`] under [`StockPolicy::Reject`] if there were fewer pieces of a product than left.
pub fn check_sale(
    policy: StockPolicy,
    sold: &[Line],
    levels: &[StockLevel],
) -> Result<(), StoreError> {
    if policy == StockPolicy::Backorder {
        return Ok(());
    }
    // Pieces that come back are welcome while earlier backorders keep the level below zero.
    let short = sold
        .iter()
        .zip(levels)
        .find(|(line, level)| line.quantity > 0 && level.quantity < 0);
    match short {
        Some((line, _)) => Err(StoreError::Conflict(format!(
            "insufficient stock of product {}",
            line.product_id
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(product_id: i64, quantity: i64) -> StockLevel {
        StockLevel {
            product_id,
            quantity,
            version: 2,
        }
    }

    fn line(product_id: i64, quantity: i64) -> Line {
        Line {
            product_id,
            quantity,
        }
    }

    #[test]
    fn what_was_there_may_leave() {
        for left in [0, 3] {
            let checked = check_sale(StockPolicy::Reject, &[line(1, 2)], &[level(1, left)]);
            assert_eq!(checked, Ok(()));
        }
    }

    #[test]
    fn a_backorder_goes_below_zero() {
        let checked = check_sale(StockPolicy::Backorder, &[line(1, 2)], &[level(1, -1)]);
        assert_eq!(checked, Ok(()));
    }

    #[test]
    fn reject_names_the_product_that_is_short() {
        let checked = check_sale(
            StockPolicy::Reject,
            &[line(1, 1), line(2, 3)],
            &[level(1, 9), level(2, -1)],
        );
        assert_eq!(
            checked,
            Err(StoreError::Conflict(
                "insufficient stock of product 2".into()
            ))
        );
    }

    #[test]
    fn giving_back_is_never_rejected() {
        let checked = check_sale(StockPolicy::Reject, &[line(1, -2)], &[level(1, -3)]);
        assert_eq!(checked, Ok(()));
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
