//! One of the hosts in a roll-out, as the command that leads it sees it.

use std::time::{Duration, Instant};

use crate::answers::{Change, RolloutStatus, Status};
use crate::client::ClientError;
use crate::client::http::{Call, Caller};
use crate::config::AdminUrl;
use crate::rollout::{Budget, Counts, Phase};

/// A host that refuses this many times in a row can't take part any more. It is more than one, because another change
/// may be under way for a moment.
const MOST_REFUSALS: u32 = 3;

/// How many times a host is told the end of the roll-out, if it gives no answer or refuses for a reason that may pass.
pub(super) const TRIES: u32 = 5;

/// The pause between two such attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// One host.
pub(super) struct Member<'a> {
    pub(super) admin: &'a AdminUrl,
    /// What the host counted in this phase before a restart, after which its counts began at zero.
    before: (Counts, Counts),
    /// The host's last answer in this phase.
    last: Option<RolloutStatus>,
    /// When the last call that the host answered began; before the first one, when all hosts had begun.
    heard: Instant,
    refusals: u32,
    pub(super) is_promoted: bool,
}

impl<'a> Member<'a> {
    pub(super) fn new(admin: &'a AdminUrl) -> Self {
        Self {
            admin,
            before: Default::default(),
            last: None,
            heard: Instant::now(),
            refusals: 0,
            is_promoted: false,
        }
    }

    /// Records that all hosts have begun. From now on silence counts.
    pub(super) fn begin(&mut self) {
        self.heard = Instant::now();
    }

    pub(super) fn begin_phase(&mut self) {
        self.before = Default::default();
        self.last = None;
    }

    /// Whether the host has confirmed that it is in this phase.
    pub(super) fn is_in_phase(&self) -> bool {
        self.last.is_some()
    }

    /// Whether the host has answered a call that began at most `within` ago.
    pub(super) fn is_fresh(&self, within: Duration) -> bool {
        self.heard.elapsed() <= within
    }

    pub(super) fn budget(&self) -> Option<Budget> {
        self.last.as_ref().map(|last| last.budget)
    }

    pub(super) fn add_to(&self, new: &mut Counts, stable: &mut Counts) {
        new.add(&self.before.0);
        stable.add(&self.before.1);
        if let Some(last) = &self.last {
            new.add(&last.new);
            stable.add(&last.stable);
        }
    }

    /// Tells the host the phase, and records its answer if it gives one.
    ///
    /// # Errors
    /// The roll-out can't go on with this host.
    pub(super) async fn step(
        &mut self,
        caller: &Caller,
        path: &str,
        lease: Duration,
    ) -> Result<(), String> {
        let began = Instant::now();
        match caller
            .call::<RolloutStatus>(self.admin, Call::post(path))
            .await
        {
            Ok(standing) => {
                self.hear(standing, began);
                Ok(())
            }
            Err(error @ ClientError::Refused { .. }) => {
                self.refusals += 1;
                if self.refusals < MOST_REFUSALS {
                    return Ok(());
                }
                Err(error.to_string())
            }
            Err(_) if self.heard.elapsed() <= lease => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) fn hear(&mut self, standing: RolloutStatus, began: Instant) {
        if let Some(last) = self.last.take()
            && last.run != standing.run
        {
            let waiting = |mut counts: Counts| {
                // Unanswered requests were lost in the restart.
                counts.requests -= counts.waiting.values().sum::<u64>().min(counts.requests);
                counts.waiting.clear();
                counts
            };
            self.before.0.add(&waiting(last.new));
            self.before.1.add(&waiting(last.stable));
        }
        self.last = Some(standing);
        self.heard = began;
        self.refusals = 0;
    }

    /// Tells the host to promote. [`Member::is_promoted`] says whether it confirmed that.
    ///
    /// # Errors
    /// The host refused.
    pub(super) async fn promote(
        &mut self,
        caller: &Caller,
        path: &str,
        component: &str,
        rollout: &str,
    ) -> Result<(), String> {
        for _ in 0..TRIES {
            let told = caller.call::<Change>(self.admin, Call::post(path)).await;
            let Err(error) = told else {
                self.is_promoted = true;
                return Ok(());
            };
            // The host may have promoted though its answer was lost.
            match self.phase_of(caller, component, rollout).await {
                Some(Phase::Promoted) => {
                    self.is_promoted = true;
                    return Ok(());
                }
                Some(_) if matches!(error, ClientError::Refused { .. }) => {
                    return Err(error.to_string());
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        Ok(())
    }

    /// The phase of the roll-out on this host; `None` if the host gives no answer.
    async fn phase_of(&self, caller: &Caller, component: &str, rollout: &str) -> Option<Phase> {
        let status: Status = caller.call(self.admin, Call::get("/status")).await.ok()?;
        let mut components = status.components.into_iter();
        let component = components.find(|one| one.component == component)?;
        let mark = component.rollout.filter(|mark| mark.id == rollout);
        Some(mark.map_or(Phase::Withdrawn, |mark| mark.phase))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A host's answer in the run of this number: how many requests the new version had, failed, and has not answered.
    pub(in super::super) fn standing(
        run: u64,
        requests: u64,
        errors: u64,
        waiting: u64,
    ) -> RolloutStatus {
        serde_json::from_value(json!({
            "phase": "step-0", "run": run,
            "new": {"requests": requests, "errors": errors, "answered": {}, "waiting": {"3": waiting}},
            "stable": {"requests": 10 * requests, "errors": 0, "answered": {}, "waiting": {}},
            "budget": {"error_points": 1.0, "p99_ratio": 2.0, "p99_slack": {"secs": 0, "nanos": 0},
                       "min_requests": 20},
        }))
        .expect("the form of a host")
    }

    #[test]
    fn what_a_host_counted_before_its_restart_is_not_lost() {
        let url: AdminUrl = "http://127.0.0.1:1".parse().expect("a URL");
        let mut member = Member::new(&url);
        for (run, requests, waiting, sum) in
            [(1, 5, 0, 5), (1, 9, 2, 9), (2, 3, 0, 10), (2, 4, 0, 11)]
        {
            member.hear(standing(run, requests, 1, waiting), Instant::now());
            let (mut new, mut stable) = (Counts::default(), Counts::default());
            member.add_to(&mut new, &mut stable);
            assert_eq!(new.requests, sum);
            assert_eq!(new.errors, run);
        }
        member.begin_phase();
        assert!(!member.is_in_phase());
    }
}
