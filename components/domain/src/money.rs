//! Money in whole cents: exact in code, DECIMAL in the database, a JSON number on the wire.

use std::fmt;
use std::iter::Sum;
use std::ops::Neg;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decimal;

/// Above this many cents (2^53, rounded down), an `f64` can't tell two neighbouring amounts apart.
const EXACT_CENTS: f64 = 9.0e15;

/// An amount of money in cents. Negative amounts are corrections, as when an order is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cents(i64);

impl Cents {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// An amount of `cents` cents.
    pub const fn new(cents: i64) -> Self {
        Self(cents)
    }

    /// The amount in cents.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The amount of a JSON number, or `None` if it has more than two decimals or is out of range.
    pub fn from_number(number: f64) -> Option<Self> {
        let cents = (number * 100.0).round();
        if !cents.is_finite() || cents.abs() > EXACT_CENTS {
            return None;
        }
        // The multiplication may round, so the division decides: it yields the double nearest to the decimal, as
        // parsing did.
        (cents / 100.0 == number).then_some(Self(cents as i64))
    }

    /// The amount in the text of a JSON number, or `None` if it has more than two decimals or is out of range.
    pub fn from_decimal(number: &str) -> Option<Self> {
        decimal::scaled(number, 2).map(Self)
    }

    /// The amount as the JSON number on the wire.
    pub fn as_number(self) -> f64 {
        self.0 as f64 / 100.0
    }

    /// The sum, or `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The price of `quantity` pieces, or `None` on overflow.
    pub fn checked_mul(self, quantity: i64) -> Option<Self> {
        self.0.checked_mul(quantity).map(Self)
    }
}

impl Neg for Cents {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.map(|amount| amount.0).sum())
    }
}

/// Formats the amount as DECIMAL parameters and Redis hold it: `3999.98`.
impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

/// The text is not an amount in the format of [`Cents`]'s `Display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an amount with two decimals")]
pub struct ParseCentsError;

/// Parses the format of `Display`: an optional minus, digits, a point and two decimals.
impl FromStr for Cents {
    type Err = ParseCentsError;

    fn from_str(text: &str) -> Result<Self, ParseCentsError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').ok_or(ParseCentsError)?;
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || fraction.len() != 2 || !all_digits(whole) || !all_digits(fraction) {
            return Err(ParseCentsError);
        }
        let number = |digits: &str| digits.parse::<i64>().map_err(|_| ParseCentsError);
        let cents = number(whole)?
            .checked_mul(100)
            .and_then(|cents| cents.checked_add(number(fraction).ok()?))
            .ok_or(ParseCentsError)?;
        Ok(Self(if negative { -cents } else { cents }))
    }
}

impl Serialize for Cents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_number())
    }
}

impl<'de> Deserialize<'de> for Cents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::from_number(number)
            .ok_or_else(|| serde::de::Error::custom("not an amount with two decimals"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_two_decimals_is_exact() {
        for (number, cents) in [
            (0.0, 0),
            (0.07, 7),
            (1999.99, 199_999),
            (99_999_999.99, 9_999_999_999),
            (-10.5, -1050),
        ] {
            assert_eq!(Cents::from_number(number), Some(Cents::new(cents)));
            assert_eq!(Cents::new(cents).as_number(), number);
        }
    }

    #[test]
    fn a_number_with_three_decimals_or_out_of_range_is_refused() {
        for number in [0.001, 1.005, 1e16, f64::NAN, f64::INFINITY] {
            assert_eq!(Cents::from_number(number), None, "{number}");
        }
    }

    #[test]
    fn every_amount_survives_the_wire() {
        for cents in (0..2_000_000).step_by(7) {
            let json = serde_json::to_string(&Cents::new(cents)).expect("a number is JSON");
            let back: Cents = serde_json::from_str(&json).expect("it was an amount");
            assert_eq!(back, Cents::new(cents), "{json}");
        }
    }

    #[test]
    fn text_has_two_decimals_and_reads_back() {
        for (cents, text) in [
            (0, "0.00"),
            (5, "0.05"),
            (399_998, "3999.98"),
            (-150, "-1.50"),
        ] {
            assert_eq!(Cents::new(cents).to_string(), text);
            assert_eq!(text.parse(), Ok(Cents::new(cents)));
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "1",
            "1.5",
            ".50",
            "1.505",
            "+1.00",
            "1e2.00",
            "--1.00",
            "99999999999999999999.00",
        ] {
            assert_eq!(text.parse::<Cents>(), Err(ParseCentsError), "{text}");
        }
    }
}
