//! Products: the rules for a new one.

use serde::{Deserialize, Serialize};

use crate::users::MAX_NAME_CHARS;
use crate::{Cents, StoreError, decimal, text};

/// The width of `products.sku`.
const MAX_SKU_CHARS: usize = 64;

/// The largest price that `products.price`, a DECIMAL(10, 2), can hold.
const MAX_PRICE: Cents = Cents::new(9_999_999_999);

/// The body of `POST /products`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewProduct {
    /// What the product is called.
    pub name: String,
    /// The shop's own code for it, not necessarily unique.
    pub sku: String,
    /// The price of one piece, as the client wrote it. Any JSON number is read, so that a number with three decimals
    /// gets 422 and not 400.
    #[serde(deserialize_with = "decimal::owned")]
    pub price: String,
}

impl NewProduct {
    /// Checks name, code and price, and returns the price in cents.
    ///
    /// # Errors
    /// [`StoreError::Unacceptable`], saying which field is wrong.
    pub fn check(&self) -> Result<Cents, StoreError> {
        text::check("name", &self.name, MAX_NAME_CHARS)?;
        text::check("sku", &self.sku, MAX_SKU_CHARS)?;
        match Cents::from_decimal(&self.price) {
            Some(price) if price > Cents::ZERO && price <= MAX_PRICE => Ok(price),
            _ => Err(StoreError::Unacceptable(format!(
                "price must be more than 0, at most {MAX_PRICE}, with at most two decimals"
            ))),
        }
    }
}

/// A product, as `GET /products/{id}` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    /// The product's number.
    pub id: i64,
    /// The product's name.
    pub name: String,
    /// The shop's own code for it.
    pub sku: String,
    /// The price of one piece.
    pub price: Cents,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(name: &str, sku: &str, price: &str) -> NewProduct {
        NewProduct {
            name: name.into(),
            sku: sku.into(),
            price: price.into(),
        }
    }

    #[test]
    fn a_product_with_a_price_is_accepted() {
        for (price, cents) in [
            ("0.01", 1),
            ("49.99", 4999),
            ("10", 1000),
            ("1e1", 1000),
            ("10.000", 1000),
            ("99999999.99", 9_999_999_999),
        ] {
            let checked = product("Lamp", "LMP-1", price).check();
            assert_eq!(checked, Ok(Cents::new(cents)));
        }
    }

    #[test]
    fn a_price_out_of_range_or_too_fine_is_refused() {
        for price in [
            "0",
            "-0.0",
            "-1",
            "0.001",
            "19.99000000000000000001",
            "100000000",
            "1e400",
        ] {
            assert!(product("Lamp", "LMP-1", price).check().is_err(), "{price}");
        }
    }

    #[test]
    fn a_price_is_a_number() {
        let read = |price: &str| {
            let json = format!(r#"{{"name":"Lamp","sku":"LMP-1","price":{price}}}"#);
            serde_json::from_str::<NewProduct>(&json)
        };
        assert_eq!(read("49.990").expect("it is").price, "49.990");
        for price in ["\"1\"", "null", "true", "[1]"] {
            assert!(read(price).is_err(), "{price}");
        }
    }

    #[test]
    fn an_empty_or_long_text_is_refused() {
        assert!(product("", "LMP-1", "1").check().is_err());
        assert!(product("Lamp", " ", "1").check().is_err());
        assert!(product("Lamp", &"x".repeat(65), "1").check().is_err());
    }
}
