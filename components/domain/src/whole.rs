//! Whole numbers in JSON: `2.0` is the number `2`, and some clients write it that way.

use serde::Deserializer;
use serde::de::{Error, Unexpected};

use crate::decimal;

/// Reads a whole number, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// If the number has a fraction, or does not fit 64 bits.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = decimal::text(deserializer)?;
    text.parse()
        .ok()
        .or_else(|| decimal::scaled(text, 0))
        .ok_or_else(|| {
            let wanted = &"a whole number of at most 64 bits";
            D::Error::invalid_value(Unexpected::Other(text), wanted)
        })
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
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("1e16", 10_000_000_000_000_000),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(read(json).expect(json), number, "{json}");
        }
    }

    #[test]
    fn what_is_not_whole_or_does_not_fit_is_refused() {
        for json in [
            "1.5",
            "1e-1",
            "2.00000000000000000001",
            "9007199254740992.5",
            "1e400",
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
