//! The state of one name, and how a look-up changes it.

use std::time::{Duration, Instant};

use super::answer::{Answer, LookupError, ResolvedServer, list};

/// Longest time between two look-ups of a name, whatever its records say.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The state of one name.
#[derive(Default)]
pub struct NameState {
    /// The servers that the last successful look-up found.
    found: Vec<ResolvedServer>,
    /// Why the last look-up found nothing, if it failed.
    trouble: Option<LookupError>,
    /// Why the last successful look-up could not use some records.
    left_out: Vec<String>,
    again_at: Option<Instant>,
}

/// What a look-up changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// The addresses have changed, or are the first ones.
    Addresses {
        /// All present servers.
        now: Vec<ResolvedServer>,
        /// How many addresses are new.
        came: usize,
        /// How many addresses are gone.
        went: usize,
        /// Reasons why some records can't be used.
        left_out: Vec<String>,
    },
    /// The addresses are the same, but other records than before can't be used. The reasons.
    LeftOut(Vec<String>),
    /// The addresses are the same, and look-ups work again.
    AnsweredAgain,
    /// The look-up found nothing, and the one before found something or failed for another reason.
    Trouble {
        /// Why.
        why: LookupError,
        /// How many addresses stay known.
        kept: usize,
    },
}

impl NameState {
    /// The last known servers; empty if the name was never found.
    #[must_use]
    pub fn found(&self) -> &[ResolvedServer] {
        &self.found
    }

    /// Why the last look-up found nothing, if it failed.
    #[must_use]
    pub fn trouble(&self) -> Option<&LookupError> {
        self.trouble.as_ref()
    }

    /// Time until the next look-up is due.
    #[must_use]
    pub fn due_in(&self, now: Instant) -> Duration {
        let again_at = self.again_at;
        again_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Takes in the result of a look-up. The next one is due when the records expire, but not before `min_interval`.
    /// Other servers than the known ones are not believed while they are in doubt: then the look-up counts as failed.
    pub fn take_in(
        &mut self,
        outcome: Result<Answer, LookupError>,
        min_interval: Duration,
        now: Instant,
    ) -> Change {
        let outcome = self.believed(outcome);
        let lifetime = match &outcome {
            Ok(answer) if answer.doubt.is_none() => answer.lifetime,
            _ => min_interval,
        };
        self.again_at = Some(now + lifetime.clamp(min_interval, LONGEST.max(min_interval)));
        match outcome {
            Ok(answer) => self.answered(answer),
            Err(why) => self.failed(why),
        }
    }

    fn believed(&self, outcome: Result<Answer, LookupError>) -> Result<Answer, LookupError> {
        match outcome {
            Ok(Answer {
                doubt: Some(doubt),
                found,
                ..
            }) if !self.found.is_empty() && self.found != found => Err(doubt),
            outcome => outcome,
        }
    }

    fn answered(&mut self, answer: Answer) -> Change {
        let was_in_trouble = self.trouble.take().is_some();
        let others =
            std::mem::replace(&mut self.left_out, answer.left_out.clone()) != answer.left_out;
        if self.found != answer.found {
            let before = std::mem::replace(&mut self.found, answer.found);
            let missing = |from: &[ResolvedServer], of: &[ResolvedServer]| {
                let is_there =
                    |one: &ResolvedServer| from.iter().any(|other| other.address == one.address);
                of.iter().filter(|one| !is_there(one)).count()
            };
            return Change::Addresses {
                came: missing(&before, &self.found),
                went: missing(&self.found, &before),
                now: self.found.clone(),
                left_out: answer.left_out,
            };
        }
        match (was_in_trouble, others) {
            (_, true) if !answer.left_out.is_empty() => Change::LeftOut(answer.left_out),
            (true, _) => Change::AnsweredAgain,
            _ => Change::None,
        }
    }

    fn failed(&mut self, why: LookupError) -> Change {
        let before = self.trouble.replace(why.clone());
        if before.is_some_and(|before| before.is_like(&why)) {
            return Change::None;
        }
        let kept = self.found.len();
        Change::Trouble { why, kept }
    }
}

impl Change {
    /// Logs the change for operators.
    pub fn log(&self, name: &str) {
        match self {
            Self::None => {}
            Self::Addresses {
                now,
                came,
                went,
                left_out,
            } => {
                let now = list(now);
                tracing::info!(name, came, went, "`{name}` has the addresses {now}");
                warn_of(name, left_out);
            }
            Self::LeftOut(left_out) => warn_of(name, left_out),
            Self::AnsweredAgain => tracing::info!(
                name,
                "`{name}` can be looked up again; its addresses are the same"
            ),
            Self::Trouble { why, kept: 0 } => {
                tracing::warn!(
                    name,
                    "`{name}` can't be looked up: {why}; it has no addresses yet"
                );
            }
            Self::Trouble { why, kept } => tracing::warn!(
                name,
                kept,
                "`{name}` can't be looked up: {why}; the addresses known so far ({kept}) stay"
            ),
        }
    }
}

fn warn_of(name: &str, left_out: &[String]) {
    for why in left_out {
        tracing::warn!(name, "`{name}`: {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(5);

    fn found(last: u8) -> ResolvedServer {
        ResolvedServer {
            address: ([10, 0, 0, last], 5000).into(),
            host: "store".into(),
            weight: None,
        }
    }

    fn answer(addresses: &[u8], seconds: u64) -> Result<Answer, LookupError> {
        let found = addresses.iter().copied().map(found).collect();
        Ok(Answer::new(found, Duration::from_secs(seconds), Vec::new()))
    }

    #[test]
    fn what_was_known_stays_when_nothing_is_answered() {
        let (mut known, now) = (NameState::default(), Instant::now());
        let mut take_in = |outcome| known.take_in(outcome, SHORT, now);
        let first = take_in(answer(&[2, 1], 30));
        let expected = Change::Addresses {
            now: vec![found(1), found(2)],
            came: 2,
            went: 0,
            left_out: vec![],
        };
        assert_eq!(first, expected);
        let unanswered = |text: &str| LookupError::Unanswered(text.to_owned());
        let told = take_in(Err(unanswered("refused")));
        let expected = Change::Trouble {
            why: unanswered("refused"),
            kept: 2,
        };
        assert_eq!(told, expected);
        assert_eq!(take_in(Err(unanswered("in other words"))), Change::None);
        let told = take_in(Err(LookupError::NoSuchName));
        assert!(matches!(told, Change::Trouble { kept: 2, .. }), "{told:?}");
        assert_eq!(take_in(answer(&[1, 2], 30)), Change::AnsweredAgain);
        assert_eq!(take_in(answer(&[2, 1], 30)), Change::None);
        let told = take_in(answer(&[2, 3], 30));
        assert!(
            matches!(
                told,
                Change::Addresses {
                    came: 1,
                    went: 1,
                    ..
                }
            ),
            "{told:?}"
        );
    }

    /// In the search domain that is meant nobody answers, and another one has an answer for every name.
    #[test]
    fn an_answer_in_doubt_does_not_replace_what_is_known() {
        let (mut known, now) = (NameState::default(), Instant::now());
        let unanswered = LookupError::Unanswered("no answer in 4s".into());
        let in_doubt = |addresses: &[u8]| {
            answer(addresses, 30).map(|answer| Answer {
                doubt: Some(unanswered.clone()),
                ..answer
            })
        };
        let first = known.take_in(in_doubt(&[9]), SHORT, now);
        assert!(
            matches!(first, Change::Addresses { came: 1, .. }),
            "{first:?}"
        );
        assert_eq!(known.due_in(now), SHORT, "it may be wrong");
        known.take_in(answer(&[1, 2], 30), SHORT, now);
        assert_eq!(known.found(), [found(1), found(2)]);

        let expected = Change::Trouble {
            why: unanswered.clone(),
            kept: 2,
        };
        assert_eq!(known.take_in(in_doubt(&[9]), SHORT, now), expected);
        assert_eq!(known.found(), [found(1), found(2)]);
        assert_eq!(known.due_in(now), SHORT);
        // Nothing is wrong with the answer that was known before.
        let same = known.take_in(in_doubt(&[1, 2]), SHORT, now);
        assert_eq!(same, Change::AnsweredAgain);
    }

    #[test]
    fn records_say_when_it_is_time_again_but_not_too_often() {
        let now = Instant::now();
        let due_after = |outcome| {
            let mut known = NameState::default();
            assert_eq!(known.due_in(now), Duration::ZERO);
            known.take_in(outcome, SHORT, now);
            known.due_in(now)
        };
        assert_eq!(due_after(answer(&[1], 30)), Duration::from_secs(30));
        assert_eq!(due_after(answer(&[1], 0)), SHORT);
        assert_eq!(due_after(answer(&[1], u64::MAX)), LONGEST);
        assert_eq!(due_after(Err(LookupError::NoSuchName)), SHORT);
    }
}
