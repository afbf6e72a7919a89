//! What is known of a component's last roll-out, on disk too: a restart goes on with it.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::answers::{LastChange, RolloutMark};
use crate::rollout::{Course, Phase};

/// How many times a host may be restarted in one phase of a roll-out. After more, the roll-out is withdrawn: whatever
/// ends the host may be the new version.
const MOST_RESTARTS: u32 = 3;

/// A roll-out: where it stands, or how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RolloutRecord {
    /// The new version's number.
    pub(crate) generation: u64,
    /// SHA-256 of its file.
    pub(crate) digest: String,
    /// SHA-256 of the stable version's file.
    pub(crate) stable: String,
    /// SHA-256 of the manifest's file at the time.
    pub(crate) file_digest: Option<String>,
    pub(crate) course: Course,
    pub(crate) phase: Phase,
    pub(crate) began: SystemTime,
    /// How often the host has started in this phase.
    pub(crate) restarts: u32,
    pub(crate) end: Option<LastChange>,
    /// Whether the new version ends with the process. Then nothing of its roll-out is written down either.
    #[serde(skip)]
    pub(crate) is_ephemeral: bool,
    /// Present if a command leads it over several hosts.
    pub(crate) fleet: Option<Fleet>,
}

/// What a host knows of a roll-out over several hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fleet {
    /// Chosen by the command that leads.
    pub(crate) id: String,
    /// Admin URLs of the other hosts.
    pub(crate) peers: Vec<String>,
    /// How long the host goes on without a word from the command.
    pub(crate) lease: Duration,
    /// Whether it is known that all hosts came to the same end.
    pub(crate) is_settled: bool,
}

impl RolloutRecord {
    /// Whether it goes on.
    pub(crate) fn is_open(&self) -> bool {
        self.phase.is_open()
    }

    /// Whether other hosts may not have promoted yet, though this one has.
    pub(crate) fn is_unsettled(&self) -> bool {
        let fleet = self.fleet.as_ref();
        self.phase == Phase::Promoted && fleet.is_some_and(|fleet| !fleet.is_settled)
    }

    /// Whether it is the roll-out over several hosts of this id.
    pub(crate) fn is_of(&self, rollout: &str) -> bool {
        let fleet = self.fleet.as_ref();
        fleet.is_some_and(|fleet| fleet.id == rollout)
    }

    /// Whatever the other hosts did, its end is final here.
    pub(crate) fn settle(&mut self) {
        if let Some(fleet) = &mut self.fleet {
            fleet.is_settled = true;
        }
    }

    /// The roll-out has ended.
    pub(crate) fn end(&mut self, phase: Phase, result: &str, reason: Option<String>) {
        self.phase = phase;
        self.end = Some(LastChange {
            generation: self.generation,
            result: result.to_owned(),
            reason,
        });
    }

    /// Another version was chosen on this host before it was known that all hosts have promoted this one: they go back too.
    pub(crate) fn overrule(&mut self) {
        let reason = "another version was chosen before all hosts were known to have promoted it";
        self.end(Phase::Withdrawn, "withdrawn", Some(reason.into()));
    }

    /// Whether the end of this roll-out is the component's latest change, to judge by the generation that `serves`.
    pub(crate) fn is_latest(&self, serves: u64) -> bool {
        match self.phase {
            Phase::Promoted => self.generation == serves,
            Phase::Withdrawn => self.generation > serves,
            Phase::Mirroring | Phase::Step(_) => false,
        }
    }

    /// The host has started anew. `serves` is the digest of what it serves. Says why the roll-out can't go on, if it can't.
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

    /// What the other hosts of the roll-out look for.
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

    /// The roll-out of generation 2, led over several hosts.
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
