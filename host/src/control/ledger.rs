//! What the host knows of a component besides the generations that serve it.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use super::rollout_record::RolloutRecord;
use crate::answers::LastChange;
use crate::instance::{GenerationLife, Version};

/// The ledger of one component.
#[derive(Default)]
pub(super) struct Ledger {
    /// The highest number that was given to a version.
    pub(super) numbered: u64,
    /// Versions that can be rolled back to, the one that served last at the end.
    pub(super) kept: Vec<KeptVersion>,
    /// Generations that serve no longer; some may be freed already.
    pub(super) retired: Vec<Weak<GenerationLife>>,
    pub(super) last: Option<LastChange>,
    /// The last roll-out.
    pub(super) rollout: Option<RolloutRecord>,
    /// Until when the host waits for the command that leads it, if one does.
    pub(super) lease_ends: Option<Instant>,
    /// The file that the manifest names.
    pub(super) source: PathBuf,
    /// SHA-256 of that file when it was last loaded, or when another version was chosen over it.
    pub(super) file_digest: Option<String>,
}

/// A version without instances.
pub(super) struct KeptVersion {
    pub(super) version: Arc<Version>,
    pub(super) since: SystemTime,
    /// Whether it has served with the settings that are in force.
    pub(super) is_tried: bool,
}

impl KeptVersion {
    /// A version that a host before this one kept.
    pub(super) fn anew(version: Version) -> Self {
        Self {
            version: Arc::new(version),
            since: SystemTime::now(),
            is_tried: false,
        }
    }
}

impl Ledger {
    /// A roll-out begins, or goes on in this process.
    pub(super) fn begin(&mut self, record: RolloutRecord) {
        let fleet = record.fleet.as_ref();
        self.lease_ends = fleet.map(|fleet| Instant::now() + fleet.lease);
        self.rollout = Some(record);
    }

    /// Takes note that the generation `serves` has been put in service, or that none has. If the last roll-out promoted
    /// another one, and not all of its hosts are known to have done so, it counts as withdrawn from now on. Returns
    /// whether it does.
    pub(super) fn overrule(&mut self, serves: Option<u64>) -> bool {
        let rollout = self.rollout.as_mut();
        let rollout = rollout.filter(|one| one.is_unsettled() && Some(one.generation) != serves);
        rollout.map(RolloutRecord::overrule).is_some()
    }

    /// A number for a new version.
    pub(super) fn number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    /// Keeps a version, and returns those that are then too many.
    pub(super) fn keep(&mut self, version: Arc<Version>, most: usize) -> Vec<KeptVersion> {
        self.forget(version.number);
        self.kept.push(KeptVersion {
            version,
            since: SystemTime::now(),
            is_tried: true,
        });
        let excess = self.kept.len().saturating_sub(most);
        self.kept.drain(..excess).collect()
    }

    /// Notes that other settings are in force: no kept version has served with them.
    pub(super) fn settings_changed(&mut self) {
        for kept in &mut self.kept {
            kept.is_tried = false;
        }
    }

    /// Removes a version from the kept ones, because it serves.
    pub(super) fn forget(&mut self, number: u64) {
        self.kept.retain(|kept| kept.version.number != number);
    }

    /// The generations that are not freed yet.
    pub(super) fn draining(&mut self) -> Vec<Arc<GenerationLife>> {
        self.retired.retain(|life| life.strong_count() > 0);
        self.retired.iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rollout_record::tests::led;
    use super::*;
    use crate::rollout::Phase;

    fn overruled(record: RolloutRecord, serves: Option<u64>) -> Phase {
        let mut ledger = Ledger {
            rollout: Some(record),
            ..Ledger::default()
        };
        ledger.overrule(serves);
        let mark = ledger.rollout.expect("the roll-out").mark();
        mark.expect("it is led").phase
    }

    #[test]
    fn a_promotion_that_another_version_replaces_is_withdrawn_unless_all_have_made_it() {
        for (serves, phase) in [
            (Some(1), Phase::Withdrawn),
            (Some(3), Phase::Withdrawn),
            (None, Phase::Withdrawn),
            (Some(2), Phase::Promoted),
        ] {
            assert_eq!(overruled(led(Phase::Promoted), serves), phase, "{serves:?}");
        }
        let mut settled = led(Phase::Promoted);
        settled.settle();
        assert_eq!(overruled(settled, Some(3)), Phase::Promoted);
        assert_eq!(overruled(led(Phase::Step(0)), Some(1)), Phase::Step(0));
    }
}
