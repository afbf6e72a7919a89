//! The live generations of a component: one, or two while a canary is tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::tally::Tally;
use crate::instance::Generation;

/// What serves a component. It is replaced whole, with the app it belongs to; a request picks once and stays with that.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) stable: Arc<Generation>,
    pub(crate) canary: Option<Arc<Canary>>,
}

/// A new generation on trial.
pub(crate) struct Canary {
    pub(crate) generation: Arc<Generation>,
    pub(crate) share: TrafficShare,
    /// How long the trial lasts.
    pub(crate) lasts: Duration,
    pub(crate) began: SystemTime,
    /// What both did in the time of the trial.
    pub(crate) stable_tally: Arc<Tally>,
    pub(crate) tally: Arc<Tally>,
    /// How many requests came since the trial began. Written by [`Slot::pick`].
    turn: AtomicU64,
}

impl Canary {
    pub(crate) fn new(
        generation: Arc<Generation>,
        stable: &Generation,
        share: TrafficShare,
        lasts: Duration,
    ) -> Self {
        let context = &generation.context;
        let tally = |of: &Generation| {
            let number = of.version.number.to_string();
            Arc::new(Tally::new(
                context.metrics.swaps.trial(&context.id, &number),
            ))
        };
        Self {
            stable_tally: tally(stable),
            tally: tally(&generation),
            generation,
            share,
            lasts,
            began: SystemTime::now(),
            turn: AtomicU64::new(0),
        }
    }
}

/// Where one request goes.
pub(crate) struct Choice {
    pub(crate) generation: Arc<Generation>,
    /// Counts the request while two generations are live.
    pub(crate) tally: Option<Arc<Tally>>,
    /// When a canary was picked: the one to ask if it fails.
    pub(crate) fallback: Option<(Arc<Generation>, Arc<Tally>)>,
}

impl Slot {
    pub(crate) fn new(stable: Arc<Generation>) -> Self {
        Self {
            stable,
            canary: None,
        }
    }

    /// Chooses the generation for one request.
    pub(crate) fn pick(&self) -> Choice {
        let Some(canary) = &self.canary else {
            return Choice {
                generation: self.stable.clone(),
                tally: None,
                fallback: None,
            };
        };
        let turn = canary.turn.fetch_add(1, Ordering::Relaxed);
        if canary.share.takes(turn) {
            Choice {
                generation: canary.generation.clone(),
                tally: Some(canary.tally.clone()),
                fallback: Some((self.stable.clone(), canary.stable_tally.clone())),
            }
        } else {
            Choice {
                generation: self.stable.clone(),
                tally: Some(canary.stable_tally.clone()),
                fallback: None,
            }
        }
    }
}

/// A part of the traffic, above 0 and below 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TrafficShare(f64);

impl TrafficShare {
    /// From percent: `10` is a tenth.
    ///
    /// # Errors
    /// The text is not a number above 0 and below 100.
    pub(crate) fn from_percent(text: &str) -> Result<Self, String> {
        match text.trim_end_matches('%').parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent < 100.0 => Ok(Self(percent / 100.0)),
            _ => Err(format!(
                "`{text}` is not a percentage above 0 and below 100"
            )),
        }
    }

    pub(crate) fn fraction(self) -> f64 {
        self.0
    }

    /// Whether the request number `turn` belongs to the share. Multiples of the golden ratio, modulo 1, fill the
    /// interval as evenly as any sequence can (Knuth, volume 3, section 6.4): 10,000 turns miss the share by less than
    /// a tenth of a percentage point. Counting every tenth would too, but gives a client that asks ten things in turn
    /// always the same one.
    fn takes(self, turn: u64) -> bool {
        /// 2^64 divided by the golden ratio.
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        (turn.wrapping_mul(STEP) as f64) < self.0 * u64::MAX as f64
    }
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
        for wrong in ["0", "100", "-1", "ten", "NaN", "inf", ""] {
            assert!(TrafficShare::from_percent(wrong).is_err(), "{wrong}");
        }
        assert_eq!(share("10%"), share("10.0"));
    }
}
