//! Judges a roll-out of this host alone, and moves it to the next phase or ends it.

use std::sync::Arc;
use std::time::Duration;

use super::canary::TrialOutcome;
use super::{Control, ControlError, Initiator};
use crate::app::Canary;
use crate::rollout::{Budget, Phase, Verdict};

/// The time between two checks of a canary.
pub(super) const LOOK: Duration = Duration::from_millis(250);

impl Control {
    /// Watches a canary from phase to phase until its roll-out has ended. Holds no reference that would keep its
    /// generation alive.
    pub(super) async fn judge(self: Arc<Self>, id: String, number: u64) {
        // `left` returns `None` for a roll-out that only mirrors: an operator ends it.
        while let Some(Some(left)) = self.tried(&id, number).map(|canary| canary.left()) {
            // If the end of a phase could not be carried out, it is tried again after [`LOOK`].
            let pause = if left.is_zero() { LOOK } else { LOOK.min(left) };
            tokio::time::sleep(pause).await;
            self.look(&id, number);
        }
    }

    /// The canary, while that generation is on trial.
    pub(super) fn tried(&self, id: &str, number: u64) -> Option<Arc<Canary>> {
        self.live.load().slots.get(id)?.tried(number)
    }

    fn look(&self, id: &str, number: u64) {
        let Some(canary) = self.tried(id, number) else {
            return;
        };
        let budget = Budget::from(&self.config.swap.canary);
        let (new, stable) = (canary.tally.counts(), canary.stable_tally.counts());
        let is_over = canary.left().is_some_and(|left| left.is_zero());
        let verdict = if is_over {
            Some(budget.last(&new, &stable))
        } else {
            budget.early(&new, &stable)
        };
        match verdict {
            None => {}
            Some(Verdict::Passed) => {
                let next = canary.rollout.course.after(canary.phase);
                if next.is_open() {
                    // If another change is under way, the next check tries again.
                    _ = self.enter(id, number, next);
                } else {
                    self.judged(id, number, TrialOutcome::Promote);
                }
            }
            Some(Verdict::Failed(reason) | Verdict::TooFew(reason)) => {
                self.judged(id, number, failed(&canary, &reason));
            }
        }
    }

    /// Withdraws a version that a command tries on several hosts, if it clearly fails on this host. The command may be
    /// waiting for other hosts, or be dead. Whether a version passes is decided by the command alone.
    pub(super) fn look_early(&self, id: &str, number: u64) {
        let Some(canary) = self.tried(id, number) else {
            return;
        };
        let budget = Budget::from(&self.config.swap.canary);
        let verdict = budget.early(&canary.tally.counts(), &canary.stable_tally.counts());
        if let Some(Verdict::Failed(reason)) = verdict {
            self.judged(id, number, failed(&canary, &reason));
        }
    }

    /// Ends the trial after the verdict on a phase.
    fn judged(&self, id: &str, number: u64, ending: TrialOutcome) {
        let end = self.conclude_by_itself(id, number, ending, &Initiator("canary".into()));
        if let Some(end) = end {
            match end {
                Phase::Promoted => self.metrics.trials.phase_passed(id),
                _ => self.metrics.trials.phase_failed(id),
            }
        }
    }

    /// Ends the trial. Returns its last phase; `None` if another change of the component is under way, and then the
    /// next check tries again.
    pub(super) fn conclude_by_itself(
        &self,
        id: &str,
        number: u64,
        mut ending: TrialOutcome,
        peer: &Initiator,
    ) -> Option<Phase> {
        if ending == TrialOutcome::Promote {
            match self.conclude(id, Some(number), &ending, "promoted") {
                Err(ControlError::Busy(_)) => return None,
                Err(error @ ControlError::Failed { .. }) => {
                    ending = TrialOutcome::Withdraw(format!("can't be promoted: {error}"));
                }
                outcome => {
                    let outcome = self.audited(peer, "promote", id, None, outcome);
                    return outcome.is_ok().then_some(Phase::Promoted);
                }
            }
        }
        match self.conclude(id, Some(number), &ending, "withdrawn") {
            Err(ControlError::Busy(_)) => None,
            outcome => {
                if let TrialOutcome::Withdraw(reason) = &ending {
                    tracing::warn!(
                        component = id,
                        generation = number,
                        "The canary of `{id}` is withdrawn: {reason}"
                    );
                }
                let outcome = self.audited(peer, "withdraw", id, None, outcome);
                outcome.is_ok().then_some(Phase::Withdrawn)
            }
        }
    }
}

/// The withdrawal of a version that has failed in its present phase.
fn failed(canary: &Canary, reason: &str) -> TrialOutcome {
    let phase = canary.rollout.course.name(canary.phase);
    TrialOutcome::Withdraw(format!("{reason} ({phase})"))
}
