//! The trial of a canary and its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Control, ControlError, Peer, change_of, micros};
use crate::answers::Change;
use crate::app::{Canary, Slot, Tally};
use crate::config::CanaryBudget;

/// Time between two looks at a canary.
const LOOK: Duration = Duration::from_millis(250);

/// As many errors or slow answers end a trial before its time is over.
const CLEAR: u64 = 5;

/// What the judge of a trial needs of the canary. It holds nothing that would keep the canary's generation alive.
pub(super) struct Candidate {
    number: u64,
    lasts: Duration,
    tally: Arc<Tally>,
    stable_tally: Arc<Tally>,
}

impl Candidate {
    pub(super) fn of(canary: &Canary) -> Self {
        Self {
            number: canary.generation.version.number,
            lasts: canary.lasts,
            tally: canary.tally.clone(),
            stable_tally: canary.stable_tally.clone(),
        }
    }
}

/// What becomes of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Promote,
    Withdraw(String),
}

impl Control {
    /// Makes the canary the stable generation.
    ///
    /// # Errors
    /// There is no canary, or another change is under way.
    pub(crate) fn promote(&self, id: &str, peer: &Peer) -> Result<Change, ControlError> {
        let outcome = self.conclude(id, None, &Verdict::Promote, "promoted");
        self.audited(peer, "promote", id, None, outcome)
    }

    /// Takes the canary out of service.
    ///
    /// # Errors
    /// There is no canary, or another change is under way.
    pub(crate) fn abort(&self, id: &str, peer: &Peer) -> Result<Change, ControlError> {
        let verdict = Verdict::Withdraw("aborted by hand".into());
        let outcome = self.conclude(id, None, &verdict, "aborted");
        self.audited(peer, "abort", id, None, outcome)
    }

    /// Watches a canary until its trial is over, and ends the trial.
    pub(super) async fn judge(self: Arc<Self>, id: String, candidate: Candidate) {
        let Candidate {
            number,
            lasts,
            tally,
            stable_tally,
        } = candidate;
        let ends = Instant::now() + lasts;
        loop {
            tokio::time::sleep(LOOK.min(ends.saturating_duration_since(Instant::now()))).await;
            if !self.is_tried(&id, number) {
                return;
            }
            let is_over = Instant::now() >= ends;
            let budget = &self.config.swap.canary;
            let verdict = verdict(budget, &tally, &stable_tally, is_over);
            let Some(mut verdict) = verdict else { continue };
            if self.conclude_by_itself(&id, number, &mut verdict) {
                return;
            }
        }
    }

    fn is_tried(&self, id: &str, number: u64) -> bool {
        let live = self.live.load();
        let canary = live.slots.get(id).and_then(|slot| slot.canary.as_ref());
        canary.is_some_and(|canary| canary.generation.version.number == number)
    }

    /// Ends the trial as the verdict says. `false` means that another change of the component is under way, and the judge
    /// has to try again.
    fn conclude_by_itself(&self, id: &str, number: u64, verdict: &mut Verdict) -> bool {
        let peer = Peer("canary".into());
        if *verdict == Verdict::Promote {
            let outcome = self.conclude(id, Some(number), verdict, "promoted");
            match outcome {
                Err(ControlError::Busy(_)) => return false,
                Err(error @ ControlError::Failed { .. }) => {
                    let reason = format!("can't be promoted: {error}");
                    *verdict = Verdict::Withdraw(reason);
                }
                outcome => {
                    _ = self.audited(&peer, "promote", id, None, outcome);
                    return true;
                }
            }
        }
        match self.conclude(id, Some(number), verdict, "withdrawn") {
            Err(ControlError::Busy(_)) => false,
            outcome => {
                if let Verdict::Withdraw(reason) = verdict {
                    tracing::warn!(
                        component = id,
                        generation = number,
                        "The canary of `{id}` is withdrawn: {reason}"
                    );
                }
                _ = self.audited(&peer, "withdraw", id, None, outcome);
                true
            }
        }
    }

    /// Ends the trial; if a `number` is given, only if it is the trial of that generation.
    fn conclude(
        &self,
        id: &str,
        number: Option<u64>,
        verdict: &Verdict,
        result: &'static str,
    ) -> Result<(&'static str, Change), ControlError> {
        let (_claim, slot) = self.claim_one(id)?;
        let canary = slot
            .canary
            .filter(|canary| number.is_none_or(|number| canary.generation.version.number == number))
            .ok_or_else(|| ControlError::NoCanary(id.to_owned()))?;
        let version = canary.generation.version.clone();
        let (took, replaced, reason) = match verdict {
            Verdict::Promote => {
                let switch = self.establish(id, canary.generation.clone())?;
                (switch.took, switch.replaced, None)
            }
            Verdict::Withdraw(reason) => {
                let mut ledgers = self.ledgers.lock();
                let took = self.replace(self.live.load().with(id, Slot::new(slot.stable.clone())));
                let ledger = ledgers.entry(id.to_owned()).or_default();
                self.retire(ledger, canary.generation.clone(), false);
                (took, Some(version.number), Some(reason.clone()))
            }
        };
        for number in [version.number, slot.stable.version.number] {
            self.metrics.swaps.end_trial(id, &number.to_string());
        }
        self.note(id, version.number, result, reason);
        let change = Change {
            switch_us: micros(took),
            replaced,
            ..change_of(id, &version)
        };
        Ok((result, change))
    }
}

/// What would become of a canary if its trial ended now, and why.
pub(super) fn so_far(
    budget: &CanaryBudget,
    canary: &Tally,
    stable: &Tally,
) -> (&'static str, Option<String>) {
    match verdict(budget, canary, stable, true) {
        Some(Verdict::Withdraw(why)) => ("withdraw", Some(why)),
        _ => ("promote", None),
    }
}

/// Whether a canary keeps to its budget, compared with the stable generation over the same time. `None` while it is too
/// early to say.
fn verdict(
    budget: &CanaryBudget,
    canary: &Tally,
    stable: &Tally,
    is_over: bool,
) -> Option<Verdict> {
    let withdraw = |reason: String| Some(Verdict::Withdraw(reason));
    let points = 100.0 * (canary.error_rate() - stable.error_rate());
    let enough_errors = if is_over { 1 } else { CLEAR };
    if canary.errors() >= enough_errors && points > budget.error_points {
        return withdraw(format!(
            "{} of its {} requests failed, against {} of {}",
            canary.errors(),
            canary.requests(),
            stable.errors(),
            stable.requests()
        ));
    }
    if let Some(p99) = stable.p99() {
        let limit = p99
            .mul_f64(budget.p99_ratio)
            .max(p99.saturating_add(budget.p99_slack));
        let slow = canary.slower_than(limit);
        // One in a hundred may be slower, and of few requests one.
        let allowed = if is_over {
            (canary.requests() / 100).max(1)
        } else {
            (canary.requests() / 20).max(CLEAR)
        };
        if slow > allowed {
            return withdraw(format!(
                "{slow} of its {} requests took longer than {limit:?}, or still do; the stable generation's p99 is {p99:?}",
                canary.requests()
            ));
        }
    }
    if !is_over {
        return None;
    }
    for (whose, tally) in [("its", canary), ("the stable generation's", stable)] {
        if tally.requests() < budget.min_requests {
            return withdraw(format!(
                "{whose} {} requests are too few to judge by; --canary-min-requests asks for {}",
                tally.requests(),
                budget.min_requests
            ));
        }
    }
    Some(Verdict::Promote)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::metrics::Metrics;

    const BUDGET: CanaryBudget = CanaryBudget {
        error_points: 1.0,
        p99_ratio: 2.0,
        p99_slack: Duration::from_millis(10),
        min_requests: 20,
    };

    /// Requests, errors among them, and how long each took.
    fn tally(requests: u64, errors: u64, took_ms: u64) -> Tally {
        let metrics = Metrics::new().expect("names are unique");
        let tally = Tally::new(metrics.swaps.trial("c", "1"));
        for number in 0..requests {
            let status = if number < errors {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::OK
            };
            tally.record(status, Duration::from_millis(took_ms));
        }
        tally
    }

    fn judged(canary: &Tally, stable: &Tally, is_over: bool) -> Option<bool> {
        verdict(&BUDGET, canary, stable, is_over).map(|verdict| verdict == Verdict::Promote)
    }

    #[test]
    fn a_canary_as_good_as_the_stable_one_is_promoted_at_the_end() {
        let stable = tally(900, 9, 20);
        assert_eq!(judged(&tally(100, 1, 25), &stable, false), None);
        assert_eq!(judged(&tally(100, 1, 25), &stable, true), Some(true));
        assert_eq!(judged(&tally(100, 0, 35), &stable, true), Some(true));
    }

    #[test]
    fn a_worse_one_is_withdrawn() {
        let stable = tally(900, 0, 20);
        assert_eq!(judged(&tally(100, 3, 20), &stable, true), Some(false));
        assert_eq!(judged(&tally(100, 0, 60), &stable, true), Some(false));
        // Clearly so at once, and otherwise at the end.
        assert_eq!(judged(&tally(20, 5, 20), &stable, false), Some(false));
        assert_eq!(judged(&tally(20, 0, 60), &stable, false), Some(false));
        assert_eq!(judged(&tally(100, 3, 20), &stable, false), None);
    }

    #[test]
    fn one_slow_answer_among_few_says_nothing() {
        let canary = tally(30, 0, 20);
        canary.record(StatusCode::OK, Duration::from_secs(1));
        assert_eq!(judged(&canary, &tally(900, 0, 20), true), Some(true));
    }

    #[test]
    fn one_that_was_not_tried_is_withdrawn() {
        for (canary, stable) in [(19, 900), (900, 19), (900, 0)] {
            assert_eq!(
                judged(&tally(canary, 0, 1), &tally(stable, 0, 1), true),
                Some(false)
            );
        }
    }

    #[test]
    fn one_that_leaves_requests_without_an_answer_is_withdrawn() {
        let canary = Arc::new(tally(30, 0, 0));
        let hanging = [canary.begin(), canary.begin()];
        std::thread::sleep(Duration::from_millis(15));
        assert_eq!(judged(&canary, &tally(900, 0, 0), true), Some(false));
        drop(hanging);
    }

    #[test]
    fn a_budget_without_bounds_is_no_panic() {
        let budget = CanaryBudget {
            p99_ratio: 1e6,
            p99_slack: Duration::MAX,
            ..BUDGET
        };
        let stable = tally(100, 0, 3_600_000);
        assert!(verdict(&budget, &tally(100, 0, 1), &stable, true).is_some());
    }
}
