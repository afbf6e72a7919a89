//! The end of a canary's trial.

use super::{Control, ControlError, Peer, change_of, micros};
use crate::answers::Change;
use crate::app::Slot;
use crate::rollout::Phase;

/// How a trial ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Promote,
    Withdraw(String),
}

impl Control {
    /// Makes the canary the stable generation. `rollout` is the id of the roll-out over several hosts that whoever asks
    /// leads.
    ///
    /// # Errors
    /// There is no canary, or another change is under way, or somebody else leads its roll-out.
    pub(crate) fn promote(
        &self,
        id: &str,
        rollout: Option<&str>,
        peer: &Peer,
    ) -> Result<Change, ControlError> {
        let outcome = self
            .may_promote(id, rollout)
            .and_then(|()| self.conclude(id, None, &Ending::Promote, "promoted"));
        self.audited(peer, "promote", id, None, outcome)
    }

    /// Takes the canary out of service; of a roll-out over several hosts whose end is not settled, also one that was
    /// promoted. `reason` is for whoever looks later.
    ///
    /// # Errors
    /// There is no canary, or another change is under way.
    pub(crate) async fn abort(
        &self,
        id: &str,
        rollout: Option<&str>,
        reason: Option<String>,
        peer: &Peer,
    ) -> Result<Change, ControlError> {
        let result = if rollout.is_some() {
            "withdrawn"
        } else {
            "aborted"
        };
        let reason = reason.unwrap_or_else(|| "aborted by hand".into());
        let outcome = match self.may_abort(id, rollout) {
            Err(error) => Err(error),
            Ok(()) => match self.take_back(id, rollout, &reason).await {
                Some(outcome) => outcome,
                None => self.conclude(id, None, &Ending::Withdraw(reason), result),
            },
        };
        self.audited(peer, "abort", id, None, outcome)
    }

    /// Ends the trial; if a `number` is given, only if it is the trial of that generation.
    pub(super) fn conclude(
        &self,
        id: &str,
        number: Option<u64>,
        ending: &Ending,
        result: &'static str,
    ) -> Result<(&'static str, Change), ControlError> {
        let (_claim, slot) = self.claim_one(id)?;
        let tried = match number {
            Some(number) => slot.tried(number),
            None => slot.canary.clone(),
        };
        let canary = tried.ok_or_else(|| ControlError::NoCanary(id.to_owned()))?;
        let version = canary.generation().version.clone();
        let (took, replaced, reason) = match ending {
            Ending::Promote => {
                let switch = self.establish(id, canary.generation().clone())?;
                (switch.took, switch.replaced, None)
            }
            Ending::Withdraw(reason) => {
                let mut ledgers = self.ledgers.lock();
                let took = self.replace(self.live.load().with(id, Slot::new(slot.stable.clone())));
                let ledger = ledgers.entry(id.to_owned()).or_default();
                self.retire(ledger, canary.generation().clone(), false);
                (took, Some(version.number), Some(reason.clone()))
            }
        };
        let has_passed = *ending == Ending::Promote;
        let phase = if has_passed {
            Phase::Promoted
        } else {
            Phase::Withdrawn
        };
        for number in [version.number, slot.stable.version.number] {
            self.metrics.swaps.end_trial(id, &number.to_string());
        }
        self.metrics.swaps.show_share(id, 0.0);
        // A hand is no judge.
        if matches!(result, "promoted" | "withdrawn") {
            self.metrics.swaps.judged(id, has_passed);
        }
        self.end_rollout(id, phase, result, reason.clone());
        self.note(id, version.number, result, reason);
        let change = Change {
            switch_us: micros(took),
            replaced,
            ..change_of(id, &version)
        };
        Ok((result, change))
    }

    /// Writes down how a roll-out ended.
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
