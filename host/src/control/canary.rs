//! The end of a trial: a canary is promoted or withdrawn.

use super::{Control, ControlError, Initiator, change_of, micros, traced};
use crate::answers::Change;
use crate::app::{Canary, Slot};
use crate::rollout::Phase;

/// Why a trial is aborted.
#[derive(Debug)]
pub(crate) struct Cause {
    pub(crate) reason: String,
    /// Whether the reason is the verdict of the command that leads the roll-out over several hosts.
    pub(crate) is_verdict: bool,
}

impl Default for Cause {
    fn default() -> Self {
        Self {
            reason: "aborted by hand".into(),
            is_verdict: false,
        }
    }
}

/// How a trial ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TrialOutcome {
    Promote,
    Withdraw(String),
}

impl TrialOutcome {
    /// The name of the trace of this end.
    fn action(&self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Withdraw(_) => "withdraw",
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Promote => Phase::Promoted,
            Self::Withdraw(_) => Phase::Withdrawn,
        }
    }
}

impl Control {
    /// Makes the canary the stable generation. `rollout` is the id of the roll-out over several hosts that the caller
    /// leads, if any.
    ///
    /// # Errors
    /// There is no canary, another change is under way, or another command leads its roll-out.
    pub(crate) fn promote(
        &self,
        id: &str,
        rollout: Option<&str>,
        peer: &Initiator,
    ) -> Result<Change, ControlError> {
        let outcome = self
            .may_promote(id, rollout)
            .and_then(|()| self.conclude(id, None, &TrialOutcome::Promote, "promoted"));
        // A promotion by hand is no verdict, but a command that leads a roll-out promotes only versions that have
        // passed.
        if outcome.is_ok() && rollout.is_some() {
            self.metrics.trials.phase_passed(id);
        }
        self.audited(peer, "promote", id, None, outcome)
    }

    /// Takes the canary out of service. In a roll-out over several hosts whose end is not settled, it also takes back a
    /// promotion.
    ///
    /// # Errors
    /// There is no canary, or another change is under way.
    pub(crate) async fn abort(
        &self,
        id: &str,
        rollout: Option<&str>,
        cause: Cause,
        peer: &Initiator,
    ) -> Result<Change, ControlError> {
        let is_verdict = cause.is_verdict;
        let outcome = match rollout {
            None => self.conclude(id, None, &TrialOutcome::Withdraw(cause.reason), "aborted"),
            Some(rollout) => self.abort_led(id, rollout, cause.reason).await,
        };
        if outcome.is_ok() && is_verdict {
            self.metrics.trials.phase_failed(id);
        }
        self.audited(peer, "abort", id, None, outcome)
    }

    async fn abort_led(
        &self,
        id: &str,
        rollout: &str,
        reason: String,
    ) -> Result<(&'static str, Change), ControlError> {
        self.may_abort(id, rollout)?;
        match self.take_back(id, rollout, &reason).await {
            Some(outcome) => outcome,
            None => self.conclude(id, None, &TrialOutcome::Withdraw(reason), "withdrawn"),
        }
    }

    /// Ends the trial. If `number` is given, only a trial of that generation is ended.
    pub(super) fn conclude(
        &self,
        id: &str,
        number: Option<u64>,
        ending: &TrialOutcome,
        result: &'static str,
    ) -> Result<(&'static str, Change), ControlError> {
        let (_claim, slot) = self.claim_one(id)?;
        let tried = match number {
            Some(number) => slot.tried(number),
            None => slot.canary.clone(),
        };
        let canary = tried.ok_or_else(|| ControlError::NoCanary(id.to_owned()))?;
        // An attempt while another change is under way has no trace: it is repeated several times a second.
        let root = self.change_span(ending.action(), canary.generation());
        let outcome = self.end_trial(&slot, &canary, ending, result);
        traced(root, outcome)
    }

    /// Ends the trial of `canary` for a caller that has the claim to the component.
    fn end_trial(
        &self,
        slot: &Slot,
        canary: &Canary,
        ending: &TrialOutcome,
        result: &'static str,
    ) -> Result<(&'static str, Change), ControlError> {
        let id = &*canary.generation().context.id;
        let version = canary.generation().version.clone();
        let (took, replaced, reason) = match ending {
            TrialOutcome::Promote => {
                let switch = self.establish(id, canary.generation().clone())?;
                (switch.took, switch.replaced, None)
            }
            TrialOutcome::Withdraw(reason) => {
                let mut ledgers = self.ledgers.lock();
                let took = self.replace(self.live.load().with(id, Slot::new(slot.stable.clone())));
                let ledger = ledgers.entry(id.to_owned()).or_default();
                self.retire(ledger, canary.generation().clone());
                (took, Some(version.number), Some(reason.clone()))
            }
        };
        let phase = ending.phase();
        for number in [version.number, slot.stable.version.number] {
            self.metrics.trials.end_trial(id, &number.to_string());
        }
        self.metrics.trials.show_share(id, 0.0);
        self.end_rollout(id, phase, result, reason.clone());
        self.note(id, version.number, result, reason);
        let change = Change {
            switch_us: micros(took),
            replaced,
            ..change_of(id, &version)
        };
        Ok((result, change))
    }

    /// Records how a roll-out ended, also for a restart.
    pub(super) fn end_rollout(&self, id: &str, phase: Phase, result: &str, reason: Option<String>) {
        let mut ledgers = self.ledgers.lock();
        let record = ledgers
            .get_mut(id)
            .and_then(|ledger| ledger.rollout.as_mut());
        if let Some(record) = record {
            record.end(phase, result, reason);
        }
        drop(ledgers);
        self.note_rollout(id);
    }
}
