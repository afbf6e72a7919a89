//! The record of a component's last roll-out. It is also on disk, so that a restart can continue the roll-out.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::answers::{LastChange, RolloutMark};
use crate::rollout::{Course, Phase};

/// How many times a host may be restarted in one phase of a roll-out. After more restarts the roll-out is withdrawn,
/// because the new version may be the reason for them.
const MOST_RESTARTS: u32 = 3;

/// A roll-out: its state, or how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RolloutRecord {
    /// The number of the new version.
    pub(crate) generation: u64,
    /// The SHA-256 digest of the new version's file.
    pub(crate) digest: String,
    /// The SHA-256 digest of the stable version's file.
    pub(crate) stable: String,
    /// The SHA-256 digest of the manifest's file when the roll-out began.
    pub(crate) file_digest: Option<String>,
    pub(crate) course: Course,
    pub(crate) phase: Phase,
    pub(crate) began: SystemTime,
    /// How many times the host has started in this phase.
    pub(crate) restarts: u32,
    pub(crate) end: Option<LastChange>,
    /// Whether the new version is lost when the process ends. Then its roll-out is not recorded on disk either.
    #[serde(skip)]
    pub(crate) is_ephemeral: bool,
    /// Present if a command leads the roll-out over several hosts.
    pub(crate) fleet: Option<Fleet>,
}

/// What a host knows of a roll-out over several hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fleet {
    /// The id that the leading command has chosen.
    pub(crate) id: String,
    /// The admin URLs of the other hosts.
    pub(crate) peers: Vec<String>,
    /// How long the host goes on without a message from the command.
    pub(crate) lease: Duration,
    /// Whether all hosts are known to have come to the same end.
    pub(crate) is_settled: bool,
}

impl RolloutRecord {
    /// Whether the roll-out is under way.
    pub(crate) fn is_open(&self) -> bool {
        self.phase.is_open()
    }

    /// Whether this host has promoted, and others perhaps have not.
    pub(crate) fn is_unsettled(&self) -> bool {
        let fleet = self.fleet.as_ref();
        self.phase == Phase::Promoted && fleet.is_some_and(|fleet| !fleet.is_settled)
    }

    /// Whether this is the roll-out over several hosts with this id.
    pub(crate) fn is_of(&self, rollout: &str) -> bool {
        let fleet = self.fleet.as_ref();
        fleet.is_some_and(|fleet| fleet.id == rollout)
    }

    /// Records that the end of the roll-out is final on this host.
    pub(crate) fn settle(&mut self) {
        if let Some(fleet) = &mut self.fleet {
            fleet.is_settled = true;
        }
    }

    /// Records that the roll-out has ended.
    pub(crate) fn end(&mut self, phase: Phase, result: &str, reason: Option<String>) {
        self.phase = phase;
        self.end = Some(LastChange {
            generation: self.generation,
            result: result.to_owned(),
            reason,
        });
    }

    /// Records that another version was chosen on this host before all hosts were known to have promoted this one. The
    /// other hosts will take theirs back too.
    pub(crate) fn overrule(&mut self) {
        let reason = "another version was chosen before all hosts were known to have promoted it";
        self.end(Phase::Withdrawn, "withdrawn", Some(reason.into()));
    }

    /// Whether the end of this roll-out is the component's latest change. `serves` is the generation that serves.
    pub(crate) fn is_latest(&self, serves: u64) -> bool {
        match self.phase {
            Phase::Promoted => self.generation == serves,
            Phase::Withdrawn => self.generation > serves,
            Phase::Mirroring | Phase::Step(_) => false,
        }
    }

    /// Records that the host was restarted. `serves` is the digest of the version that serves now. Returns the reason
    /// if the roll-out can't continue.
    pub(crate) fn restarted(&mut self, serves: &str) -> Option<String> {
        self.restarts += 1;
        if serves != self.stable {
            return Some("another version serves since the host was restarted".into());
        }
        (self.restarts > MOST_RESTARTS).then(|| {
            format!(
                "the host was restarted {} times in one step of it",
                self.restarts
            )
        })
    }

    /// The part of the status that the other hosts of the roll-out read.
    pub(crate) fn mark(&self) -> Option<RolloutMark> {
        self.fleet.as_ref().map(|fleet| RolloutMark {
            id: fleet.id.clone(),
            phase: self.phase,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A roll-out of generation 2 that a command leads over several hosts.
    pub(in super::super) fn led(phase: Phase) -> RolloutRecord {
        RolloutRecord {
            generation: 2,
            digest: "two".into(),
            stable: "one".into(),
            file_digest: None,
            course: Course {
                steps: Vec::new(),
                step_for: Duration::from_secs(1),
                mirror: None,
                sticky: None,
                when: None,
            },
            phase,
            began: SystemTime::UNIX_EPOCH,
            restarts: 0,
            end: None,
            is_ephemeral: false,
            fleet: Some(Fleet {
                id: "r1".into(),
                peers: Vec::new(),
                lease: Duration::from_secs(1),
                is_settled: false,
            }),
        }
    }

    #[test]
    fn an_old_roll_out_is_not_the_latest_change() {
        for (phase, serves, latest) in [
            (Phase::Promoted, 2, true),
            (Phase::Promoted, 3, false),
            (Phase::Promoted, 1, false),
            (Phase::Withdrawn, 1, true),
            (Phase::Withdrawn, 3, false),
        ] {
            assert_eq!(led(phase).is_latest(serves), latest, "{phase}, {serves}");
        }
    }
}
