//! One host's part in a roll-out over several hosts: a command leads it phase by phase, and judges by the counts of all
//! hosts (`docs/adr/0027`).

use std::time::{Duration, Instant};

use super::rollout_record::RolloutRecord;
use super::{Control, ControlError, Initiator, change_of};
use crate::answers::{Change, RolloutStatus};
use crate::app::Canary;
use crate::rollout::{Budget, Phase};

impl Control {
    /// Obeys the command that leads the roll-out `rollout`: enters `phase`, unless the roll-out is in that phase
    /// already. Returns the state of the roll-out. From now on, waits for the next message for `lease`.
    ///
    /// # Errors
    /// That roll-out is not under way here, or has passed that phase.
    pub(crate) fn step(
        &self,
        id: &str,
        rollout: &str,
        phase: Phase,
        lease: Duration,
        peer: &Initiator,
    ) -> Result<RolloutStatus, ControlError> {
        let outcome = self.try_step(id, rollout, phase, lease);
        match &outcome {
            Ok((_, Some(entered))) => self.log_change(peer, "step", "stepped", entered),
            Ok((_, None)) => {}
            Err(error) => self.log_refusal(peer, "step", id, None, error),
        }
        outcome.map(|(standing, _)| standing)
    }

    /// The state of the roll-out, and the change if it entered another phase.
    fn try_step(
        &self,
        id: &str,
        rollout: &str,
        phase: Phase,
        lease: Duration,
    ) -> Result<(RolloutStatus, Option<Change>), ControlError> {
        let number = self.led(id, rollout)?;
        let gone = || ControlError::NoCanary(id.to_owned());
        let canary = self.tried(id, number).ok_or_else(gone)?;
        if !canary.rollout.course.has(phase) {
            let reason = format!("`phase`: the roll-out has no {phase}");
            return Err(ControlError::Malformed(reason));
        }
        let entered = canary.phase != phase && self.enter(id, number, phase)?;
        self.renew(id, lease);
        let canary = self.tried(id, number).ok_or_else(gone)?;
        let change = entered.then(|| change_of(id, &canary.generation().version));
        Ok((self.standing(&canary), change))
    }

    /// Renews the lease, from now on and also for the time after a restart.
    fn renew(&self, id: &str, lease: Duration) {
        let mut ledgers = self.ledgers.lock();
        let ledger = ledgers.entry(id.to_owned()).or_default();
        ledger.lease_ends = Some(Instant::now() + lease);
        let rollout = ledger.rollout.as_mut();
        let fleet = rollout.and_then(|rollout| rollout.fleet.as_mut());
        let before = fleet.map(|fleet| std::mem::replace(&mut fleet.lease, lease));
        drop(ledgers);
        if before != Some(lease) {
            self.note_rollout(id);
        }
    }

    fn standing(&self, canary: &Canary) -> RolloutStatus {
        RolloutStatus {
            phase: canary.phase,
            run: canary.run,
            new: canary.tally.counts(),
            stable: canary.stable_tally.counts(),
            budget: Budget::from(&self.config.swap.canary),
        }
    }

    /// Records that all hosts have promoted.
    ///
    /// # Errors
    /// This host has not promoted in that roll-out.
    pub(crate) fn settle(
        &self,
        id: &str,
        rollout: &str,
        peer: &Initiator,
    ) -> Result<Change, ControlError> {
        let outcome = self.try_settle(id, rollout);
        self.audited(peer, "settle", id, None, outcome)
    }

    fn try_settle(&self, id: &str, rollout: &str) -> Result<(&'static str, Change), ControlError> {
        let (_claim, slot) = self.claim_one(id)?;
        {
            let mut ledgers = self.ledgers.lock();
            let record = ledgers
                .get_mut(id)
                .and_then(|ledger| ledger.rollout.as_mut());
            let promoted = record.filter(|one| one.phase == Phase::Promoted && one.is_of(rollout));
            promoted
                .ok_or_else(|| ControlError::NotLed(id.to_owned()))?
                .settle();
        }
        self.note_rollout(id);
        Ok(("settled", change_of(id, &slot.stable.version)))
    }

    /// The generation number of the canary in the led roll-out `rollout`.
    fn led(&self, id: &str, rollout: &str) -> Result<u64, ControlError> {
        if !self.live.load().slots.contains_key(id) {
            return Err(ControlError::Unknown(id.to_owned()));
        }
        let ledgers = self.ledgers.lock();
        let ledger = ledgers.get(id);
        let record = ledger.and_then(|ledger| ledger.rollout.as_ref());
        let record = record
            .filter(|record| record.is_of(rollout))
            .ok_or_else(|| ControlError::NotLed(id.to_owned()))?;
        if let Some(end) = &record.end {
            let reason = end.reason.as_ref().map(|reason| format!(": {reason}"));
            return Err(ControlError::Ended {
                component: id.to_owned(),
                how: format!("{}{}", end.result, reason.unwrap_or_default()),
            });
        }
        let is_late = ledger
            .and_then(|ledger| ledger.lease_ends)
            .is_none_or(|ends| ends < Instant::now());
        if is_late {
            return Err(ControlError::Ended {
                component: id.to_owned(),
                how: "left by the command that leads it, which sent no message for too long".into(),
            });
        }
        Ok(record.generation)
    }

    /// Checks that `rollout` is the roll-out of this host. An abort that names a roll-out must end no other one.
    pub(super) fn may_abort(&self, id: &str, rollout: &str) -> Result<(), ControlError> {
        let ledgers = self.ledgers.lock();
        let record = ledgers.get(id).and_then(|ledger| ledger.rollout.as_ref());
        let is_same = record.is_some_and(|record| record.is_of(rollout));
        drop(ledgers);
        if !is_same {
            // If another change is under way, it may be the start of this roll-out. Then the error is `Busy`, and the
            // caller tries again.
            drop(self.claim_one(id)?);
            return Err(ControlError::NotLed(id.to_owned()));
        }
        Ok(())
    }

    /// Refuses a trial against a version that this host has promoted and other hosts of its roll-out perhaps have not.
    /// The version may have to be taken back, and the other hosts ask this one how the roll-out ended, which a new
    /// roll-out would overwrite. A swap is allowed, because it says that the version is not wanted any more.
    pub(super) fn may_try(&self, id: &str) -> Result<(), ControlError> {
        let ledgers = self.ledgers.lock();
        let record = ledgers.get(id).and_then(|ledger| ledger.rollout.as_ref());
        match record.is_some_and(RolloutRecord::is_unsettled) {
            true => Err(ControlError::Unsettled(id.to_owned())),
            false => Ok(()),
        }
    }

    /// Checks that, in a roll-out over several hosts, only the command that leads it promotes.
    pub(super) fn may_promote(&self, id: &str, rollout: Option<&str>) -> Result<(), ControlError> {
        let ledgers = self.ledgers.lock();
        let record = ledgers.get(id).and_then(|ledger| ledger.rollout.as_ref());
        let is_led = record.is_some_and(|record| record.is_open() && record.fleet.is_some());
        drop(ledgers);
        match rollout {
            Some(rollout) => self.led(id, rollout).map(drop),
            None if is_led => Err(ControlError::Led(id.to_owned())),
            None => Ok(()),
        }
    }
}
