//! Whole numbers as JSON has them: `2.0` is the number `2`, and some clients write it so.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

/// Up to this, every whole number is an `f64` of its own (2^53): beyond it, a fraction may have been rounded away.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads a whole number, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// If it has a fraction, or does not fit.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_i64(Whole)
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of at most 64 bits")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
        if number.fract() == 0.0 && number.abs() <= EXACT {
            return Ok(number as i64);
        }
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<i64, serde_json::Error> {
        number(&mut serde_json::Deserializer::from_str(json))
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_point_or_exponent() {
        for (json, number) in [
            ("0", 0),
            ("-7", -7),
            ("2.0", 2),
            ("1e3", 1000),
            ("-0.0", 0),
            ("9007199254740992.0", 9_007_199_254_740_992),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(read(json).expect(json), number, "{json}");
        }
    }

    #[test]
    fn what_is_not_whole_or_not_exact_is_refused() {
        for json in [
            "1.5",
            "1e-1",
            "1e16",
            "9223372036854775808",
            "\"1\"",
            "true",
            "null",
            "[1]",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
