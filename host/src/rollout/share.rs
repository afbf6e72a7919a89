//! A share of the traffic.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most steps that a roll-out may have.
const MOST_STEPS: usize = 100;

/// A share of the traffic, above 0 and below 1. A share of mirrored requests may also be 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct TrafficShare(f64);

impl TrafficShare {
    /// Parses a percentage: `10` is a tenth.
    ///
    /// # Errors
    /// The text is not a number above 0 and below 100.
    pub(crate) fn from_percent(text: &str) -> Result<Self, String> {
        match percent(text) {
            Some(percent) if percent > 0.0 && percent < 100.0 => Ok(Self(percent / 100.0)),
            _ => Err(format!(
                "`{text}` is not a percentage above 0 and below 100; write for example 10%"
            )),
        }
    }

    /// Parses a percentage that may be 100.
    ///
    /// # Errors
    /// The text is not a number above 0 and up to 100.
    pub(crate) fn up_to_all(text: &str) -> Result<Self, String> {
        match percent(text) {
            Some(percent) if percent > 0.0 && percent <= 100.0 => Ok(Self(percent / 100.0)),
            _ => Err(format!(
                "`{text}` is not a percentage above 0 and up to 100; write for example 10%"
            )),
        }
    }

    pub(crate) fn fraction(self) -> f64 {
        self.0
    }

    /// The share in percent, rounded to a hundredth.
    pub(crate) fn percent(self) -> f64 {
        (self.0 * 10_000.0).round() / 100.0
    }

    /// Whether the share contains `point`, which may be anywhere in the range of `u64`. A larger share contains every
    /// point of a smaller one.
    pub(crate) fn has(self, point: u64) -> bool {
        self.0 >= 1.0 || (point as f64) < self.0 * u64::MAX as f64
    }

    /// Whether the request number `turn` belongs to the share. Multiples of the golden ratio, modulo 1, fill the
    /// interval as evenly as any sequence can (Knuth, volume 3, section 6.4): 10,000 turns miss the share by less than
    /// a tenth of a percentage point. Taking every tenth request would be as exact, but from a client that sends the
    /// same ten requests again and again it would always take the same one.
    pub(crate) fn takes(self, turn: u64) -> bool {
        /// 2^64 divided by the golden ratio.
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        self.has(turn.wrapping_mul(STEP))
    }
}

impl fmt::Display for TrafficShare {
    /// Writes the share in percent, as it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", (self.0 * 1e11).round() / 1e9)
    }
}

fn percent(text: &str) -> Option<f64> {
    let text = text.trim();
    let number = text.strip_suffix('%').unwrap_or(text);
    number.trim_end().parse().ok()
}

/// Parses the shares of a roll-out's steps, such as `1%,5%,25%`.
///
/// # Errors
/// A share is invalid or not above the one before it, or there are no shares or too many.
pub(crate) fn shares(text: &str) -> Result<Vec<TrafficShare>, String> {
    let pieces: Vec<&str> = text.split(',').map(str::trim).collect();
    if pieces.iter().all(|piece| piece.is_empty()) {
        return Err("names no share; write for example 1%,5%,25%,50%".into());
    }
    if pieces.len() > MOST_STEPS {
        return Err(format!("has more than {MOST_STEPS} steps; leave some out"));
    }
    let mut shares: Vec<TrafficShare> = Vec::new();
    for piece in pieces {
        let share = TrafficShare::from_percent(piece)?;
        if let Some(before) = shares.last()
            && share.0 <= before.0
        {
            return Err(format!(
                "{piece} is not above the {}% before it; write the shares in ascending order, as in 1%,5%,25%,50%",
                before.percent()
            ));
        }
        shares.push(share);
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(percent: &str) -> TrafficShare {
        TrafficShare::from_percent(percent).expect(percent)
    }

    #[test]
    fn shares_are_exact_over_ten_thousand_requests() {
        for percent in ["0.5", "1", "10", "33.3", "50", "90", "99"] {
            let share = share(percent);
            for start in [0, 7, 123_456, u64::MAX - 5000] {
                let taken = (0..10_000_u64)
                    .filter(|turn| share.takes(start.wrapping_add(*turn)))
                    .count();
                let off = (taken as f64 / 10_000.0 - share.fraction()).abs();
                assert!(off < 0.001, "{percent} % from {start}: {taken} taken");
            }
        }
    }

    #[test]
    fn a_client_that_asks_ten_things_in_turn_tries_each_on_the_canary() {
        let share = share("10");
        for thing in 0..10 {
            let taken = (0..1000).filter(|n| share.takes(n * 10 + thing)).count();
            assert!((80..=120).contains(&taken), "thing {thing}: {taken} taken");
        }
    }

    #[test]
    fn a_share_is_part_of_the_traffic() {
        for wrong in ["0", "100", "-1", "ten", "NaN", "inf", "", "%", "10%%"] {
            assert!(TrafficShare::from_percent(wrong).is_err(), "{wrong}");
        }
        assert_eq!(share("10%"), share("10.0"));
        let all = TrafficShare::up_to_all("100%").expect("a share of what is mirrored");
        assert!(all.has(u64::MAX) && all.takes(7));
        assert!(TrafficShare::up_to_all("100.1").is_err());
    }

    #[test]
    fn steps_rise() {
        let steps = shares("1%, 5%,25,50.5%").expect("they rise");
        let steps: Vec<f64> = steps.into_iter().map(TrafficShare::percent).collect();
        assert_eq!(steps, [1.0, 5.0, 25.0, 50.5]);
        for (wrong, part) in [
            ("", "names no share"),
            (",", "names no share"),
            ("1%,,5%", "`` is not a percentage"),
            ("5%,1%", "1% is not above the 5% before it"),
            ("5%,5%", "ascending order"),
            ("0%,5%", "`0%` is not"),
            ("1%,101%", "`101%` is not"),
            ("1%,100%", "below 100"),
        ] {
            let error = shares(wrong).expect_err(wrong);
            assert!(error.contains(part), "{wrong}: {error}");
        }
        let many: Vec<String> = (1..=101)
            .map(|n| (f64::from(n) / 2.0).to_string())
            .collect();
        assert!(shares(&many.join(",")).is_err());
    }
}
