//! Ends a roll-out over several hosts if the command that leads it may have died. A host without messages for a while
//! asks the other hosts, and comes to the same end as they (`docs/adr/0027`). A version that clearly fails on this host
//! is withdrawn earlier.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;

use super::canary::TrialOutcome;
use super::judge::LOOK;
use super::rollback::numbers;
use super::rollout_record::{Fleet, RolloutRecord};
use super::{Control, ControlError, Initiator};
use crate::answers::{Change, Status};
use crate::client::{Call, Caller};
use crate::config::AdminUrl;
use crate::rollout::{OrphanAction, Phase, Vote, once_promoted, while_open};

/// The longest wait for the answer of another host.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The time between two rounds of questions.
const PAUSE: Duration = Duration::from_secs(2);

/// How many leases a silent host is waited for, because it may have been told to promote.
const PATIENCE: u32 = 20;

/// How many leases a host that has promoted waits until it knows that all have promoted. This is much longer than
/// [`PATIENCE`], because hosts that were cut off may have withdrawn after [`PATIENCE`] and be reachable again later.
const PATIENCE_ONCE_PROMOTED: u32 = 10 * PATIENCE;

/// How long after the end of its lease a host waits before it asks the others. By then the leases of all hosts have
/// ended, since a command sends its messages to all hosts within a quarter of a lease.
fn grace(fleet: &Fleet) -> Duration {
    fleet.lease / 2
}

impl Control {
    /// Watches a roll-out until it has ended. If nobody leads it any more, ends it so that all its hosts come to the
    /// same end.
    pub(super) async fn guard(self: Arc<Self>, id: String, fleet: Fleet) {
        let rollout = fleet.id;
        while let Some((record, lease_ends)) = self.unfinished(&id, &rollout) {
            let Some(fleet) = &record.fleet else { return };
            let asks_at = lease_ends + grace(fleet);
            let now = Instant::now();
            let pause = if record.is_open() {
                self.look_early(&id, record.generation);
                LOOK
            } else {
                PAUSE
            };
            if now < asks_at {
                tokio::time::sleep(pause.min(asks_at - now)).await;
                continue;
            }
            let votes = votes(fleet, &id).await;
            let pause = self.decide(&id, &record, &votes, now - asks_at).await;
            tokio::time::sleep(pause).await;
        }
    }

    /// The roll-out with the end of its lease, if it is under way here or its end is not settled.
    fn unfinished(&self, id: &str, rollout: &str) -> Option<(RolloutRecord, Instant)> {
        let ledgers = self.ledgers.lock();
        let ledger = ledgers.get(id)?;
        let record = ledger.rollout.as_ref()?;
        let is_unfinished = record.is_open() || record.is_unsettled();
        let ends = ledger.lease_ends?;
        (record.is_of(rollout) && is_unfinished).then(|| (record.clone(), ends))
    }

    /// Acts on the votes of the other hosts, which have been asked for as long as `asking`. Returns how long to wait
    /// before the next round.
    async fn decide(
        &self,
        id: &str,
        record: &RolloutRecord,
        votes: &[Vote],
        asking: Duration,
    ) -> Duration {
        let (number, peer) = (record.generation, Initiator("fleet".into()));
        let Some(fleet) = &record.fleet else {
            return PAUSE;
        };
        let why = "the command that led its roll-out sent no message for too long";
        if record.is_open() {
            let ending = match while_open(votes, asking > fleet.lease * PATIENCE) {
                OrphanAction::Wait | OrphanAction::Settle => return PAUSE,
                OrphanAction::Promote => TrialOutcome::Promote,
                OrphanAction::Withdraw => {
                    TrialOutcome::Withdraw(format!("{why}, and no other host has promoted it"))
                }
            };
            self.conclude_by_itself(id, number, ending, &peer);
            return PAUSE;
        }
        let is_late = asking > fleet.lease * PATIENCE_ONCE_PROMOTED;
        match once_promoted(votes, is_late) {
            OrphanAction::Wait | OrphanAction::Promote => {}
            OrphanAction::Withdraw => {
                let reason = format!("{why}, and another host has withdrawn it");
                if let Some(outcome) = self.take_back(id, &fleet.id, &reason).await {
                    let outcome = self.audited(&peer, "withdraw", id, None, outcome);
                    if outcome.is_err() && is_late {
                        self.stay(id, number, &fleet.id, "it can't go back");
                    }
                    // A problem that prevents the change is not likely to pass soon, so the wait is longer.
                    return PAUSE.max(fleet.lease);
                }
            }
            OrphanAction::Settle
                if votes.contains(&Vote::Silent) || votes.contains(&Vote::Open) =>
            {
                self.stay(id, number, &fleet.id, "not all hosts were heard");
            }
            OrphanAction::Settle => _ = self.settle(id, &fleet.id, &peer),
        }
        PAUSE
    }

    /// Keeps the version that this host has promoted, though other hosts may serve another one, and logs that. With
    /// this the roll-out is settled.
    fn stay(&self, id: &str, number: u64, rollout: &str, why: &str) {
        tracing::error!(
            component = id,
            generation = number,
            "Generation {number} of `{id}` stays, as {why}; other hosts of its roll-out may serve another version: look at \
             their `status`"
        );
        _ = self.settle(id, rollout, &Initiator("fleet".into()));
    }

    /// Takes back a promotion that other hosts did not make. `None` if there is no unsettled promotion of `rollout`.
    pub(super) async fn take_back(
        &self,
        id: &str,
        rollout: &str,
        reason: &str,
    ) -> Option<Result<(&'static str, Change), ControlError>> {
        let is_unsettled = {
            let ledgers = self.ledgers.lock();
            let record = ledgers.get(id).and_then(|ledger| ledger.rollout.as_ref());
            record.is_some_and(|record| record.is_unsettled() && record.is_of(rollout))
        };
        match is_unsettled {
            true => Some(self.try_take_back(id, rollout, reason).await),
            false => None,
        }
    }

    async fn try_take_back(
        &self,
        id: &str,
        rollout: &str,
        reason: &str,
    ) -> Result<(&'static str, Change), ControlError> {
        let (_claim, slot) = self.claim_one(id)?;
        let before = self.version_before(id, rollout, slot.stable.version.number);
        let before = before.inspect_err(|error| {
            if matches!(error, ControlError::NotKept { .. }) {
                self.note_rollout(id);
                tracing::error!(
                    component = id,
                    "The roll-out of `{id}` was withdrawn on another host and stays here: {error}"
                );
            }
        })?;
        let (_, change) = self.roll_back(id, &slot, Some(before)).await?;
        let result = "rolled-back";
        self.end_rollout(id, Phase::Withdrawn, "withdrawn", Some(reason.to_owned()));
        self.note(id, change.generation, result, Some(reason.to_owned()));
        Ok((result, change))
    }

    /// The generation that served before the roll-out that promoted generation `serves`. If it is not kept, the
    /// promotion can't be taken back and becomes final.
    fn version_before(&self, id: &str, rollout: &str, serves: u64) -> Result<u64, ControlError> {
        let mut ledgers = self.ledgers.lock();
        let ledger = ledgers.entry(id.to_owned()).or_default();
        let kept = numbers(ledger);
        let record = ledger.rollout.as_mut().filter(|record| {
            record.is_unsettled() && record.is_of(rollout) && record.generation == serves
        });
        let record = record.ok_or_else(|| ControlError::NotLed(id.to_owned()))?;
        let mut of_digest = ledger.kept.iter().rev();
        let before = of_digest.find(|kept| kept.version.digest() == record.stable);
        if let Some(before) = before {
            return Ok(before.version.number);
        }
        record.settle();
        Err(ControlError::NotKept {
            component: id.to_owned(),
            wanted: "version from before its roll-out".into(),
            kept,
        })
    }
}

/// The state of the roll-out on each of the other hosts.
async fn votes(fleet: &Fleet, component: &str) -> Vec<Vote> {
    let peers = fleet.peers.iter();
    join_all(peers.map(|peer| ask(peer, component, &fleet.id))).await
}

/// Asks another host for its status, which needs no token.
async fn ask(peer: &str, component: &str, rollout: &str) -> Vote {
    let Ok(peer) = peer.parse::<AdminUrl>() else {
        return Vote::Silent;
    };
    let caller = Caller {
        token: None,
        timeout: ANSWER_LIMIT,
    };
    match caller.call::<Status>(&peer, Call::get("/status")).await {
        Ok(status) => vote(&status, component, rollout),
        Err(_) => Vote::Silent,
    }
}

fn vote(status: &Status, component: &str, rollout: &str) -> Vote {
    let mut components = status.components.iter();
    let component = components.find(|one| one.component == component);
    let mark = component.and_then(|component| component.rollout.as_ref());
    match mark
        .filter(|mark| mark.id == rollout)
        .map(|mark| mark.phase)
    {
        Some(Phase::Mirroring | Phase::Step(_)) => Vote::Open,
        Some(Phase::Promoted) => Vote::Promoted,
        Some(Phase::Withdrawn) => Vote::Withdrawn,
        None => Vote::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_host_that_knows_nothing_of_a_roll_out_has_not_withdrawn_it() {
        let said = |rollout| {
            let component = json!({
                "component": "c", "generations": [], "canary": null, "last": null, "rollout": rollout,
            });
            let status = json!({
                "version": "1", "commit": "c", "profile": "p", "components": [component],
            });
            let status = serde_json::from_value(status).expect("the form of a host");
            vote(&status, "c", "r1")
        };
        for (rollout, expected) in [
            (json!(null), Vote::Unknown),
            (json!({"id": "r2", "phase": "withdrawn"}), Vote::Unknown),
            (json!({"id": "r1", "phase": "withdrawn"}), Vote::Withdrawn),
            (json!({"id": "r1", "phase": "promoted"}), Vote::Promoted),
            (json!({"id": "r1", "phase": "step-1"}), Vote::Open),
        ] {
            assert_eq!(said(rollout.clone()), expected, "{rollout}");
        }
    }
}
