//! Durations as people write them: `500ms`, `2s`, `1m`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Longest duration: more than any setting needs, and short enough that adding it to a clock never overflows.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Reads a duration. It must be above zero, as no setting makes sense at zero.
///
/// # Errors
/// The text is no duration, or is zero or above a week. The error says what to write.
pub fn parse(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than zero".into()),
        Ok(duration) if duration > LONGEST => Err("must be a week at most".into()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write for example 500ms, 2s or 1m")),
    }
}

/// Reads a duration, for serde's `with`.
///
/// # Errors
/// Same as for [`parse`].
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).map_err(serde::de::Error::custom)
}

/// Writes a duration, for serde's `with`.
///
/// # Errors
/// The serializer fails.
pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_duration(*duration))
}
