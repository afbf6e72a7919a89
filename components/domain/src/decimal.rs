//! Reads JSON numbers from their text. An `f64` would round first: `19.99000000000000000001` would become the price
//! `19.99`, and `2.00000000000000000001` the quantity 2.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The most digits that an `i64` can always hold.
const MAX_DIGITS: usize = 18;

/// The text of a JSON number, as the client wrote it.
///
/// # Errors
/// If the value is not a number.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'de str, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    match raw.as_bytes() {
        [b'-' | b'0'..=b'9', ..] => Ok(raw),
        _ => Err(D::Error::invalid_type(
            Unexpected::Other(kind(raw)),
            &"a number",
        )),
    }
}

/// As [`text`], for `#[serde(deserialize_with)]` on a field that keeps the text.
///
/// # Errors
/// If the value is not a number.
pub(crate) fn owned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer).map(str::to_owned)
}

/// The number in units of `10^-decimals`, or `None` if it has more decimals or does not fit.
pub(crate) fn scaled(number: &str, decimals: i64) -> Option<i64> {
    let (negative, number) = match number.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, number),
    };
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // An exponent of more than 64 bits can't fit: no body is long enough to make up for it by its digits.
    let exponent: i64 = exponent.parse().ok()?;
    let zeros = exponent
        .checked_add(decimals)?
        .checked_sub(fraction.len() as i64)?
        .checked_add((digits.len() - significant.len()) as i64)?;
    let zeros = usize::try_from(zeros).ok()?;
    if significant.len().saturating_add(zeros) > MAX_DIGITS {
        return None;
    }
    let value: i64 = format!("{significant}{:0<zeros$}", "").parse().ok()?;
    Some(if negative { -value } else { value })
}

/// Names the type of a JSON value that is not a number, by its first byte.
fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        Some(b'n') => "null",
        _ => "a boolean",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_scaled_exactly() {
        for (number, decimals, value) in [
            ("0", 2, 0),
            ("-0", 2, 0),
            ("0.000", 0, 0),
            ("0e99999999999999999999", 2, 0),
            ("19.99", 2, 1999),
            ("19.99000000000000000000000000", 2, 1999),
            ("-10.5", 2, -1050),
            ("1e2", 2, 10_000),
            ("1999E-2", 2, 1999),
            ("1.999e+1", 2, 1999),
            ("9007199254740993", 0, 9_007_199_254_740_993),
            ("999999999999999999", 0, 999_999_999_999_999_999),
            ("100e-2", 0, 1),
        ] {
            assert_eq!(scaled(number, decimals), Some(value), "{number}");
        }
    }

    #[test]
    fn what_is_finer_or_does_not_fit_is_none() {
        for (number, decimals) in [
            ("19.99000000000000000001", 2),
            ("0.001", 2),
            ("2.00000000000000000001", 0),
            ("1e-400", 2),
            ("1e400", 2),
            ("1e99999999999999999999", 2),
            ("1e-99999999999999999999", 2),
            ("1e9223372036854775807", 2),
            ("1e-9223372036854775808", 2),
            ("1000000000000000000", 0),
            ("99999999999999999999", 0),
        ] {
            assert_eq!(scaled(number, decimals), None, "{number}");
        }
    }

    #[test]
    fn only_a_number_has_a_numbers_text() {
        let read = |json| text(&mut serde_json::Deserializer::from_str(json));
        assert_eq!(read("19.990").expect("a number"), "19.990");
        for json in [
            "\"1\"", "true", "null", "[1]", "{}", "1.", "-", "+1", "01.5x",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
