//! How a roll-out begins, goes from phase to phase, and continues after a restart.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::error::Step;
use super::rollout_record::{Fleet, RolloutRecord};
use super::state_folder::RolloutNotes;
use super::{Control, ControlError};
use crate::app::{Canary, PassedPhase, Rollout, Slot};
use crate::instance::{Code, Generation, Origin, Version};
use crate::rollout::{Course, Phase};

/// How a new version is to be tried.
#[derive(Clone, Debug)]
pub(crate) struct TrialPlan {
    pub(crate) course: Course,
    /// Present if a command leads the roll-out over several hosts.
    pub(crate) fleet: Option<Fleet>,
}

/// A roll-out that an earlier process began.
pub(super) struct RestoredRollout {
    pub(super) record: RolloutRecord,
    /// The new version; `None` if the roll-out has ended.
    pub(super) version: Option<Arc<Version>>,
}

impl Control {
    /// Begins a roll-out. Returns how long the switch took.
    ///
    /// # Errors
    /// The record for a restart can't be written. Then nothing has changed.
    pub(super) fn start_canary(
        self: &Arc<Self>,
        id: &str,
        slot: &Slot,
        generation: Arc<Generation>,
        trial: TrialPlan,
    ) -> Result<Duration, ControlError> {
        let TrialPlan { course, fleet } = trial;
        let version = generation.version.clone();
        let record = RolloutRecord {
            generation: version.number,
            digest: version.digest().to_owned(),
            stable: slot.stable.version.digest().to_owned(),
            file_digest: version.file_digest.clone(),
            phase: course.first(),
            course,
            began: SystemTime::now(),
            restarts: 0,
            end: None,
            is_ephemeral: version.origin == Origin::Ephemeral,
            fleet,
        };
        let notes = self.rollout_notes();
        write(notes.as_ref(), id, &record)?;
        let rollout = Rollout::new(generation, record.course.clone(), record.began);
        let canary = Canary::new(rollout, &slot.stable, record.phase, Vec::new());
        let mut ledgers = self.ledgers.lock();
        let took = self.show(id, slot, canary);
        ledgers.entry(id.to_owned()).or_default().begin(record);
        drop(ledgers);
        drop(notes);
        self.attend(id, version.number);
        Ok(took)
    }

    /// Enters another phase of a roll-out. Returns `false` if the roll-out is in that phase already.
    ///
    /// # Errors
    /// That version is not on trial any more or has passed that phase, or another change is under way.
    pub(super) fn enter(&self, id: &str, number: u64, phase: Phase) -> Result<bool, ControlError> {
        let (_claim, slot) = self.claim_one(id)?;
        let canary = slot.tried(number);
        let canary = canary.ok_or_else(|| ControlError::NoCanary(id.to_owned()))?;
        match phase.cmp(&canary.phase) {
            Ordering::Less => {
                return Err(ControlError::Passed {
                    component: id.to_owned(),
                    phase: canary.phase,
                    wanted: phase,
                });
            }
            Ordering::Equal => return Ok(false),
            Ordering::Greater => {}
        }
        let mut passed = canary.passed.clone();
        let over = PassedPhase {
            phase: canary.phase,
            new: canary.tally.counts(),
            stable: canary.stable_tally.counts(),
        };
        let course = &canary.rollout.course;
        tracing::info!(
            component = id,
            generation = number,
            "Generation {number} of `{id}` has passed {}: {} requests, {} failed; {} follows",
            course.name(over.phase),
            over.new.requests,
            over.new.errors,
            course.name(phase)
        );
        passed.push(over);
        let next = Canary::new(canary.rollout.clone(), &slot.stable, phase, passed);
        let mut ledgers = self.ledgers.lock();
        self.show(id, &slot, next);
        let ledger = ledgers.entry(id.to_owned()).or_default();
        if let Some(record) = &mut ledger.rollout {
            record.phase = phase;
            record.restarts = 0;
        }
        drop(ledgers);
        self.metrics.trials.phase_passed(id);
        self.note_rollout(id);
        Ok(true)
    }

    /// Lets requests see the canary from now on. The caller must hold the lock of the ledgers.
    fn show(&self, id: &str, slot: &Slot, canary: Canary) -> Duration {
        self.metrics.trials.show_share(id, canary.share());
        let slot = Slot {
            stable: slot.stable.clone(),
            canary: Some(Arc::new(canary)),
        };
        self.replace(self.live.load().with(id, slot))
    }

    /// Starts the task that judges a roll-out, or watches it if a command leads it.
    fn attend(self: &Arc<Self>, id: &str, number: u64) {
        let ledgers = self.ledgers.lock();
        let record = ledgers.get(id).and_then(|ledger| ledger.rollout.as_ref());
        let fleet = record.and_then(|record| record.fleet.clone());
        drop(ledgers);
        match fleet {
            Some(fleet) => self.spawn(self.clone().guard(id.to_owned(), fleet)),
            None => self.spawn(self.clone().judge(id.to_owned(), number)),
        }
    }

    /// Continues a roll-out that an earlier process began. Must be called once, before the host serves.
    pub(super) fn resume(self: &Arc<Self>, id: &str, resumed: RestoredRollout) {
        let RestoredRollout { record, version } = resumed;
        let slot = self.live.load().slots.get(id).cloned();
        let serves = slot.as_ref().map(|slot| slot.stable.version.number);
        let (Some(slot), Some(version)) = (slot, version) else {
            let fleet = record.fleet.clone().filter(|_| record.is_unsettled());
            let mut ledgers = self.ledgers.lock();
            let ledger = ledgers.entry(id.to_owned()).or_default();
            if serves.is_some_and(|serves| record.is_latest(serves)) {
                ledger.last.clone_from(&record.end);
            }
            ledger.begin(record);
            drop(ledgers);
            self.note_rollout(id);
            if let Some(fleet) = fleet {
                self.spawn(self.clone().guard(id.to_owned(), fleet));
            }
            return;
        };
        let number = version.number;
        tracing::info!(
            component = id,
            generation = number,
            "Going on with the roll-out of generation {number} of `{id}`: {}",
            record.course.name(record.phase)
        );
        let generation = Generation::new(version, slot.stable.context.clone());
        let rollout = Rollout::new(generation, record.course.clone(), record.began);
        let canary = Canary::new(rollout, &slot.stable, record.phase, Vec::new());
        let mut ledgers = self.ledgers.lock();
        self.show(id, &slot, canary);
        ledgers.entry(id.to_owned()).or_default().begin(record);
        drop(ledgers);
        self.note_rollout(id);
        self.attend(id, number);
    }

    /// Records the state of a roll-out for a restart. If that fails, a restart finds an earlier state.
    pub(super) fn note_rollout(&self, id: &str) {
        let notes = self.rollout_notes();
        let ledgers = self.ledgers.lock();
        let record = ledgers.get(id).and_then(|ledger| ledger.rollout.clone());
        drop(ledgers);
        let Some(record) = record else { return };
        if let Err(error) = write(notes.as_ref(), id, &record) {
            tracing::error!(
                component = id,
                "Can't record the state of the roll-out of `{id}`, so a restart may go on from an earlier one: {error}"
            );
        }
    }

    /// `None` if nothing is kept for a restart.
    fn rollout_notes(&self) -> Option<RolloutNotes<'_>> {
        let state = self.state.as_ref()?;
        Some(tokio::task::block_in_place(|| state.rollout_notes()))
    }
}

fn write(
    notes: Option<&RolloutNotes<'_>>,
    id: &str,
    record: &RolloutRecord,
) -> Result<(), ControlError> {
    let Some(notes) = notes.filter(|_| !record.is_ephemeral) else {
        return Ok(());
    };
    let written = tokio::task::block_in_place(|| notes.write(id, record));
    written.map_err(|error| ControlError::at(Step::Persist, format!("can't be kept: {error}")))
}

impl RestoredRollout {
    /// Continues a roll-out with the version that `compiled` returns. It does not continue if `serves`, the digest of
    /// the version that serves now, is not that of the version it was tried against.
    pub(super) fn new(
        mut record: RolloutRecord,
        serves: &str,
        compiled: impl FnOnce(&str) -> Result<Code, String>,
    ) -> Self {
        if record.is_unsettled() && serves != record.digest {
            record.overrule();
        }
        if !record.is_open() {
            return Self {
                record,
                version: None,
            };
        }
        if serves == record.digest {
            // The host ended after the promotion and before this record was updated.
            record.end(Phase::Promoted, "promoted", None);
            return Self {
                record,
                version: None,
            };
        }
        let hindrance = record.restarted(serves);
        let found = hindrance.map_or_else(|| compiled(&record.digest), Err);
        let version = match found {
            Ok(compiled) => Some(Arc::new(Version {
                number: record.generation,
                origin: Origin::Stored,
                file_digest: record.file_digest.clone(),
                compiled,
            })),
            Err(reason) => {
                tracing::warn!(
                    "The roll-out of generation {} does not go on: {reason}",
                    record.generation
                );
                record.end(Phase::Withdrawn, "withdrawn", Some(reason));
                None
            }
        };
        Self { record, version }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rollout_record::tests::led;
    use super::*;

    #[test]
    fn a_promotion_that_another_version_has_replaced_is_withdrawn_after_a_restart() {
        let resumed = |serves| {
            let compiled = |_: &str| unreachable!("it is over");
            RestoredRollout::new(led(Phase::Promoted), serves, compiled).record
        };
        assert_eq!(resumed("another").phase, Phase::Withdrawn);
        assert!(resumed("two").is_unsettled());
    }
}
