//! Decides whether a new version does as well as the stable one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use crate::config::CanaryBudget;

/// This many errors or slow answers can end a trial before its time is over.
const CLEAR: u64 = 5;

/// How much worse than the stable version a new version may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Budget {
    /// In percentage points of the requests.
    error_points: f64,
    p99_ratio: f64,
    p99_slack: Duration,
    min_requests: u64,
}

/// The result of judging the counts of a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The new version does as well.
    Passed,
    /// The new version does worse.
    Failed(String),
    /// There were too few requests to judge.
    TooFew(String),
}

/// A verdict in words, for people who look at a phase before it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `good`, `bad` or `too few`.
    pub(crate) verdict: &'static str,
    pub(crate) why: String,
}

impl From<&CanaryBudget> for Budget {
    fn from(set: &CanaryBudget) -> Self {
        Self {
            error_points: set.error_points,
            p99_ratio: set.p99_ratio,
            p99_slack: set.p99_slack,
            min_requests: set.min_requests,
        }
    }
}

impl Budget {
    /// A budget that is as strict as both.
    pub(crate) fn stricter(self, other: Self) -> Self {
        Self {
            error_points: self.error_points.min(other.error_points),
            p99_ratio: self.p99_ratio.min(other.p99_ratio),
            p99_slack: self.p99_slack.min(other.p99_slack),
            min_requests: self.min_requests.max(other.min_requests),
        }
    }

    /// The verdict before a phase is over, if the new version clearly does worse. There is none while the stable
    /// version has too few requests to compare with; in a late step it gets few.
    pub(crate) fn early(&self, new: &Counts, stable: &Counts) -> Option<Verdict> {
        if stable.requests < self.min_requests {
            return None;
        }
        self.fault(new, stable, false).map(Verdict::Failed)
    }

    /// The verdict at the end of a phase.
    pub(crate) fn last(&self, new: &Counts, stable: &Counts) -> Verdict {
        if let Some(fault) = self.fault(new, stable, true) {
            return Verdict::Failed(fault);
        }
        for (whose, counts) in [("its", new), ("the stable generation's", stable)] {
            if counts.requests < self.min_requests {
                return Verdict::TooFew(format!(
                    "{whose} {} requests are too few to judge by; --canary-min-requests asks for {}",
                    counts.requests, self.min_requests
                ));
            }
        }
        Verdict::Passed
    }

    /// The verdict as if the phase ended now.
    pub(crate) fn finding(&self, new: &Counts, stable: &Counts) -> Finding {
        match self.last(new, stable) {
            Verdict::Failed(why) => Finding {
                verdict: "bad",
                why,
            },
            Verdict::TooFew(why) => Finding {
                verdict: "too few",
                why,
            },
            Verdict::Passed => Finding {
                verdict: "good",
                why: format!(
                    "{} of its {} requests failed, against {} of {}; its p99 is {}, against {}",
                    new.errors,
                    new.requests,
                    stable.errors,
                    stable.requests,
                    shown(new.p99()),
                    shown(stable.p99())
                ),
            },
        }
    }

    /// Why the new version does worse than the stable one in the same time; `None` if it does not.
    fn fault(&self, new: &Counts, stable: &Counts, is_over: bool) -> Option<String> {
        let points = 100.0 * (new.error_rate() - stable.error_rate());
        let enough_errors = if is_over { 1 } else { CLEAR };
        if new.errors >= enough_errors && points > self.error_points {
            return Some(format!(
                "{} of its {} requests failed, against {} of {}",
                new.errors, new.requests, stable.errors, stable.requests
            ));
        }
        let p99 = stable.p99()?;
        // The ratio comes from another host and may have any value.
        let limit = Duration::try_from_secs_f64(p99.as_secs_f64() * self.p99_ratio)
            .unwrap_or(Duration::MAX);
        let limit = limit.max(p99.saturating_add(self.p99_slack));
        let slow = new.slower_than(limit);
        // One in a hundred requests may be slower, and at least one.
        let allowed = if is_over {
            (new.requests / 100).max(1)
        } else {
            (new.requests / 20).max(CLEAR)
        };
        (slow > allowed).then(|| {
            format!(
                "{slow} of its {} requests took longer than {limit:?}, or still do; the stable generation's p99 is {p99:?}",
                new.requests
            )
        })
    }
}

fn shown(time: Option<Duration>) -> String {
    time.map_or_else(|| "unknown".into(), |time| format!("{time:?}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::bucket;
    use super::super::counts::tests::counts;
    use super::*;

    const BUDGET: Budget = Budget {
        error_points: 1.0,
        p99_ratio: 2.0,
        p99_slack: Duration::from_millis(10),
        min_requests: 20,
    };

    fn early(new: &Counts, stable: &Counts) -> Option<bool> {
        BUDGET
            .early(new, stable)
            .map(|verdict| verdict == Verdict::Passed)
    }

    fn last(new: &Counts, stable: &Counts) -> bool {
        BUDGET.last(new, stable) == Verdict::Passed
    }

    #[test]
    fn one_as_good_as_the_stable_one_passes_at_the_end() {
        let stable = counts(900, 9, 20);
        assert_eq!(early(&counts(100, 1, 25), &stable), None);
        assert!(last(&counts(100, 1, 25), &stable));
        assert!(last(&counts(100, 0, 35), &stable));
        let finding = BUDGET.finding(&counts(100, 1, 25), &stable);
        assert_eq!(finding.verdict, "good");
        assert!(
            finding
                .why
                .starts_with("1 of its 100 requests failed, against 9 of 900"),
            "{finding:?}"
        );
    }

    #[test]
    fn a_worse_one_fails() {
        let stable = counts(900, 0, 20);
        assert!(!last(&counts(100, 3, 20), &stable));
        assert!(!last(&counts(100, 0, 60), &stable));
        // A clear fault shows at once, others at the end.
        assert_eq!(early(&counts(20, 5, 20), &stable), Some(false));
        assert_eq!(early(&counts(20, 0, 60), &stable), Some(false));
        assert_eq!(early(&counts(100, 3, 20), &stable), None);
        assert_eq!(BUDGET.finding(&counts(20, 5, 20), &stable).verdict, "bad");
    }

    #[test]
    fn a_few_requests_to_the_stable_one_end_nothing_early() {
        // The new version has sent reports, at 12 ms, among answers of 1 ms; the stable version has had no reports yet.
        let mut new = counts(34, 0, 1);
        new.add(&counts(6, 0, 12));
        assert_eq!(early(&new, &counts(2, 0, 1)), None);
        // The database was away for a moment.
        assert_eq!(early(&counts(40, 6, 1), &counts(2, 0, 1)), None);
        assert_eq!(early(&new, &counts(20, 0, 1)), Some(false));
        assert_eq!(early(&counts(40, 6, 1), &counts(20, 0, 1)), Some(false));
    }

    #[test]
    fn one_slow_answer_among_few_says_nothing() {
        let mut new = counts(30, 0, 20);
        new.add(&counts(1, 0, 1000));
        assert!(last(&new, &counts(900, 0, 20)));
    }

    #[test]
    fn one_that_was_not_tried_fails() {
        for (new, stable) in [(19, 900), (900, 19), (900, 0)] {
            let (new, stable) = (counts(new, 0, 1), counts(stable, 0, 1));
            assert!(matches!(BUDGET.last(&new, &stable), Verdict::TooFew(_)));
            assert_eq!(BUDGET.finding(&new, &stable).verdict, "too few");
        }
    }

    #[test]
    fn one_that_leaves_requests_without_an_answer_fails() {
        let mut new = counts(30, 0, 0);
        new.requests += 2;
        new.waiting = BTreeMap::from([(bucket(Duration::from_millis(15)), 2)]);
        assert!(!last(&new, &counts(900, 0, 0)));
    }

    #[test]
    fn a_budget_without_bounds_is_no_panic() {
        let budget = Budget {
            p99_ratio: 1e300,
            p99_slack: Duration::MAX,
            ..BUDGET
        };
        let stable = counts(100, 0, 3_600_000);
        assert_eq!(budget.last(&counts(100, 0, 1), &stable), Verdict::Passed);
        let strict = budget.stricter(BUDGET);
        assert_eq!(strict, BUDGET);
    }
}
