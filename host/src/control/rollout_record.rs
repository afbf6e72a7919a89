//! What is known of a component's last roll-out, on disk too: a restart goes on with it.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::answers::{LastChange, RolloutMark};
use crate::rollout::{Course, Phase};

/// How often a host may end in one phase of a roll-out: whatever ends it, it may be the new version.
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
    /// Whether a restart is to find nothing of it.
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

    /// The roll-out has ended.
    pub(crate) fn end(&mut self, phase: Phase, result: &str, reason: Option<String>) {
        self.phase = phase;
        self.end = Some(LastChange {
            generation: self.generation,
            result: result.to_owned(),
            reason,
        });
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
