//! A roll-out over several hosts, as one of them sees it: a command leads it, phase by phase, and judges by the counts of
//! all. A host that hears nothing from it for a while asks the other hosts, and comes to the same end as they
//! (`docs/adr/0027`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;

use super::canary::Ending;
use super::rollout_record::{Fleet, RolloutRecord};
use super::{Control, ControlError, Peer, change_of};
use crate::answers::{Change, Standing, Status};
use crate::app::Canary;
use crate::client::{Call, Caller};
use crate::config::AdminUrl;
use crate::rollout::{Budget, Fate, Phase, Vote, once_promoted, while_open};

/// Longest wait for another host's answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Longest time between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A host that is silent is waited for so many leases, in case it was told to promote.
const PATIENCE: u32 = 20;

/// What a host waits for, beside its lease, before it asks the others: until then the leases of all have run out, as a
/// command asks all hosts within a quarter of a lease.
fn grace(fleet: &Fleet) -> Duration {
    fleet.lease / 2
}

impl Control {
    /// Does what the command that leads the roll-out `rollout` says: goes on to `phase`, unless it is the one that goes on.
    /// Says how it stands, and waits for the next word for `lease`.
    ///
    /// # Errors
    /// That roll-out does not go on here.
    pub(crate) fn step(
        &self,
        id: &str,
        rollout: &str,
        phase: Phase,
        lease: Duration,
    ) -> Result<Standing, ControlError> {
        let number = self.led(id, rollout)?;
        let gone = || ControlError::NoCanary(id.to_owned());
        let canary = self.tried(id, number).ok_or_else(gone)?;
        if !canary.rollout.course.has(phase) {
            let reason = format!("`phase`: the roll-out has no {phase}");
            return Err(ControlError::Malformed(reason));
        }
        if canary.phase != phase {
            self.enter(id, number, phase)?;
        }
        self.renew(id, lease);
        let canary = self.tried(id, number).ok_or_else(gone)?;
        Ok(self.standing(&canary))
    }

    /// Waits for the next word for `lease` from now on, after a restart too.
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

    fn standing(&self, canary: &Canary) -> Standing {
        Standing {
            phase: canary.phase,
            run: canary.run,
            new: canary.tally.counts(),
            stable: canary.stable_tally.counts(),
            budget: Budget::from(&self.config.swap.canary),
        }
    }

    /// Takes note that all hosts have promoted.
    ///
    /// # Errors
    /// This one did not, in that roll-out.
    pub(crate) fn settle(
        &self,
        id: &str,
        rollout: &str,
        peer: &Peer,
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
            let fleet = record.filter(|record| record.phase == Phase::Promoted);
            let fleet = fleet.and_then(|record| record.fleet.as_mut());
            let fleet = fleet.filter(|fleet| fleet.id == rollout);
            fleet
                .ok_or_else(|| ControlError::NotLed(id.to_owned()))?
                .is_settled = true;
        }
        self.note_rollout(id);
        Ok(("settled", change_of(id, &slot.stable.version)))
    }

    /// The number of the canary in the roll-out that somebody leads.
    fn led(&self, id: &str, rollout: &str) -> Result<u64, ControlError> {
        if !self.live.load().slots.contains_key(id) {
            return Err(ControlError::Unknown(id.to_owned()));
        }
        let ledgers = self.ledgers.lock();
        let ledger = ledgers.get(id);
        let record = ledger.and_then(|ledger| ledger.rollout.as_ref());
        let of = |record: &&RolloutRecord| {
            record
                .fleet
                .as_ref()
                .is_some_and(|fleet| fleet.id == rollout)
        };
        let record = record
            .filter(of)
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
                how: "left by the command that leads it, which said nothing for too long".into(),
            });
        }
        Ok(record.generation)
    }

    /// Whoever names a roll-out over several hosts means that one and no other.
    pub(super) fn may_abort(&self, id: &str, rollout: Option<&str>) -> Result<(), ControlError> {
        let Some(rollout) = rollout else {
            return Ok(());
        };
        let ledgers = self.ledgers.lock();
        let record = ledgers.get(id).and_then(|ledger| ledger.rollout.as_ref());
        let fleet = record.and_then(|record| record.fleet.as_ref());
        match fleet {
            Some(fleet) if fleet.id == rollout => Ok(()),
            _ => Err(ControlError::NotLed(id.to_owned())),
        }
    }

    /// Only the command that leads a roll-out over several hosts promotes on one of them.
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

    /// Goes back from a promotion that other hosts did not make; none if there is no such promotion.
    pub(super) async fn take_back(
        &self,
        id: &str,
        rollout: Option<&str>,
        reason: &str,
    ) -> Option<Result<(&'static str, Change), ControlError>> {
        let before = {
            let ledgers = self.ledgers.lock();
            let ledger = ledgers.get(id)?;
            let record = ledger
                .rollout
                .as_ref()
                .filter(|record| record.is_unsettled())?;
            let fleet = record.fleet.as_ref()?;
            if Some(fleet.id.as_str()) != rollout {
                return None;
            }
            let kept = ledger.kept.iter().rev();
            let mut numbers = kept.filter(|kept| kept.version.digest() == record.stable);
            numbers.next().map(|kept| kept.version.number)
        };
        let outcome = self.try_rollback(id, before).await;
        Some(outcome.map(|(_, change)| {
            self.end_rollout(id, Phase::Withdrawn, "withdrawn", Some(reason.to_owned()));
            self.note(
                id,
                change.generation,
                "rolled-back",
                Some(reason.to_owned()),
            );
            ("rolled-back", change)
        }))
    }

    /// Sees to it that a roll-out ends that nobody leads any more, and that all its hosts come to the same end.
    pub(super) async fn guard(self: Arc<Self>, id: String, fleet: Fleet) {
        let rollout = fleet.id;
        loop {
            let Some((record, lease_ends)) = self.unfinished(&id, &rollout) else {
                return;
            };
            let Some(fleet) = &record.fleet else { return };
            let asks_at = lease_ends + grace(fleet);
            let now = Instant::now();
            if now < asks_at {
                tokio::time::sleep((asks_at - now).min(LONGEST_PAUSE)).await;
                continue;
            }
            let votes = votes(fleet, &id).await;
            let is_late = now > asks_at + fleet.lease * PATIENCE;
            self.decide(&id, &record, &votes, is_late).await;
            tokio::time::sleep(LONGEST_PAUSE.min(fleet.lease)).await;
        }
    }

    /// The roll-out, if it goes on here or its end is not settled; and when its lease ends.
    fn unfinished(&self, id: &str, rollout: &str) -> Option<(RolloutRecord, Instant)> {
        let ledgers = self.ledgers.lock();
        let ledger = ledgers.get(id)?;
        let record = ledger.rollout.as_ref()?;
        let is_same = record
            .fleet
            .as_ref()
            .is_some_and(|fleet| fleet.id == rollout);
        let is_unfinished = record.is_open() || record.is_unsettled();
        let ends = ledger.lease_ends?;
        (is_same && is_unfinished).then(|| (record.clone(), ends))
    }

    async fn decide(&self, id: &str, record: &RolloutRecord, votes: &[Vote], is_late: bool) {
        let number = record.generation;
        let fate = match record.is_open() {
            true => while_open(votes, is_late),
            false => once_promoted(votes),
        };
        let why = "the command that led its roll-out said nothing for too long";
        match fate {
            Fate::Wait => {}
            Fate::Promote => self.conclude_by_itself(id, number, Ending::Promote),
            Fate::Withdraw if record.is_open() => {
                let reason = format!("{why}, and no other host has promoted it");
                self.conclude_by_itself(id, number, Ending::Withdraw(reason));
            }
            Fate::Withdraw => {
                let reason = format!("{why}, and another host has withdrawn it");
                tracing::warn!(
                    component = id,
                    generation = number,
                    "Going back from generation {number} of `{id}`: {reason}"
                );
                let rollout = record.fleet.as_ref().map(|fleet| fleet.id.as_str());
                if let Some(outcome) = self.take_back(id, rollout, &reason).await {
                    _ = self.audited(&Peer("fleet".into()), "withdraw", id, None, outcome);
                }
            }
            Fate::Settle => {
                let rollout = record.fleet.as_ref().map(|fleet| fleet.id.clone());
                _ = self.settle(id, &rollout.unwrap_or_default(), &Peer("fleet".into()));
            }
        }
    }
}

/// Where the roll-out stands on each of the other hosts.
async fn votes(fleet: &Fleet, component: &str) -> Vec<Vote> {
    let peers = fleet.peers.iter();
    join_all(peers.map(|peer| ask(peer, component, &fleet.id))).await
}

/// Asks another host. Its status is free to read.
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
        Some(Phase::Withdrawn) | None => Vote::Withdrawn,
    }
}
