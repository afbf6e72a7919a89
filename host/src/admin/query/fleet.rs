//! What the leading command of a roll-out over several hosts says in its queries.

use std::time::Duration;

use super::Query;
use crate::control::{Cause, ControlError, Fleet};
use crate::rollout::Phase;

/// The parameters of a `step` request.
pub(in super::super) struct WantedStep {
    pub(in super::super) rollout: String,
    pub(in super::super) phase: Phase,
    pub(in super::super) lease: Duration,
}

impl Query {
    /// The roll-out over several hosts that this host is to take part in; `None` if it is to try a version alone.
    pub(super) fn fleet(&mut self) -> Result<Option<Fleet>, ControlError> {
        match (self.rollout.take(), self.lease, self.peers.take()) {
            (None, None, None) => Ok(None),
            (Some(id), Some(lease), Some(peers)) => Ok(Some(Fleet {
                id,
                peers,
                lease,
                is_settled: false,
            })),
            _ => Err(ControlError::Malformed(
                "`rollout`, `peers` and `lease`: give all three, or none for a roll-out on this host alone".into(),
            )),
        }
    }

    /// The parameters of a `step` request.
    ///
    /// # Errors
    /// A parameter is missing.
    pub(in super::super) fn wanted_step(self) -> Result<WantedStep, ControlError> {
        match (self.rollout, self.phase, self.lease) {
            (Some(rollout), Some(phase), Some(lease)) => Ok(WantedStep {
                rollout,
                phase,
                lease,
            }),
            _ => Err(ControlError::Malformed(
                "`rollout`, `phase` and `lease`: a step needs all three".into(),
            )),
        }
    }

    /// The id of the roll-out that a `settle` request names.
    ///
    /// # Errors
    /// The request names none.
    pub(in super::super) fn settled_rollout(&self) -> Result<String, ControlError> {
        let reason = "`rollout`: name the roll-out that is settled";
        let rollout = self.rollout.clone();
        rollout.ok_or_else(|| ControlError::Malformed(reason.into()))
    }

    /// The reason that an `abort` request gives.
    pub(in super::super) fn cause(&self) -> Cause {
        let by_hand = Cause::default();
        Cause {
            reason: self.reason.clone().unwrap_or(by_hand.reason),
            is_verdict: self.failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::query;
    use super::*;

    #[test]
    fn what_a_command_says_is_read() {
        let text = "steps=1,5&rollout=a-1&peers=http://h:5100,unix:/s&lease=30s";
        let trial = query("swap", text).expect("valid").trial.expect("a trial");
        assert_eq!(
            trial.fleet.expect("it is led").peers,
            ["http://h:5100", "unix:/s"]
        );
        let step = query("step", "rollout=a&phase=step-1&lease=1s").expect("valid");
        assert_eq!(
            step.wanted_step().map(|step| step.phase).ok(),
            Some(Phase::Step(1))
        );
        assert!(
            query("step", "rollout=a")
                .expect("valid")
                .wanted_step()
                .is_err()
        );
    }

    #[test]
    fn a_verdict_is_told_from_other_reasons() {
        let cause = |text| query("abort", text).expect("valid").cause();
        let by_hand = cause("");
        assert_eq!(
            (by_hand.reason.as_str(), by_hand.is_verdict),
            ("aborted by hand", false)
        );
        assert!(!cause("rollout=a&reason=interrupted").is_verdict);
        let verdict = cause("rollout=a&reason=it+is+slow&failed=true");
        assert_eq!(
            (verdict.reason.as_str(), verdict.is_verdict),
            ("it is slow", true)
        );
    }
}
