//! What the host knows of a component besides the generations that serve.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use super::rollout_record::RolloutRecord;
use crate::answers::LastChange;
use crate::instance::{GenerationLife, Version};

/// The ledger of one component.
#[derive(Default)]
pub(super) struct Ledger {
    /// The highest version number that was given.
    pub(super) numbered: u64,
    /// The versions that a rollback can choose; the one that served last is at the end.
    pub(super) kept: Vec<KeptVersion>,
    /// Generations that no longer serve. Some may have been freed already.
    pub(super) retired: Vec<Weak<GenerationLife>>,
    pub(super) last: Option<LastChange>,
    /// The last roll-out.
    pub(super) rollout: Option<RolloutRecord>,
    /// The end of the lease of the command that leads the roll-out, if a command does.
    pub(super) lease_ends: Option<Instant>,
    /// The path of the file that the manifest names.
    pub(super) source: PathBuf,
    /// The SHA-256 digest of that file when it was last loaded, or when another version was chosen instead of it.
    pub(super) file_digest: Option<String>,
}

/// A version without instances, kept for a rollback.
pub(super) struct KeptVersion {
    pub(super) version: Arc<Version>,
    pub(super) since: SystemTime,
    /// Whether the version has served with the present settings.
    pub(super) is_tried: bool,
}

impl KeptVersion {
    /// A version that an earlier process kept.
    pub(super) fn anew(version: Version) -> Self {
        Self {
            version: Arc::new(version),
            since: SystemTime::now(),
            is_tried: false,
        }
    }
}

impl Ledger {
    /// Records that a roll-out begins, or continues in this process.
    pub(super) fn begin(&mut self, record: RolloutRecord) {
        let fleet = record.fleet.as_ref();
        self.lease_ends = fleet.map(|fleet| Instant::now() + fleet.lease);
        self.rollout = Some(record);
    }

    /// Records that the generation `serves` was put in service; `None` stands for no generation. If the last roll-out
    /// promoted another generation, and not all of its hosts are known to have promoted it, the roll-out now counts as
    /// withdrawn. Returns whether it does.
    pub(super) fn overrule(&mut self, serves: Option<u64>) -> bool {
        let rollout = self.rollout.as_mut();
        let rollout = rollout.filter(|one| one.is_unsettled() && Some(one.generation) != serves);
        rollout.map(RolloutRecord::overrule).is_some()
    }

    /// The number for a new version.
    pub(super) fn number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    /// Keeps a version, and returns the versions that are now too many.
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

    /// Records that the settings have changed, so no kept version has served with them.
    pub(super) fn settings_changed(&mut self) {
        for kept in &mut self.kept {
            kept.is_tried = false;
        }
    }

    /// Removes a version from the kept ones, because it serves again.
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
