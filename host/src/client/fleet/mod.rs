//! `store-host swap --fleet`: leads a roll-out over several hosts, so that a step is a share of the whole traffic and
//! one verdict counts for all. `docs/adr/0027` says what happens when this command or a host ends in the middle.
//!
//! `member` is one of the hosts as this command sees it; `end` promotes or withdraws on all of them. The rules for
//! verdicts are not here but in `rollout`.

mod end;
mod member;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use http::HeaderMap;
use store_server::request_id::new_id;

use self::member::Member;
use super::change::lines;
use super::http::{Call, Caller};
use super::swap_args::{SwapArgs, path, segment};
use super::trial::shown;
use super::{ClientError, say};
use crate::answers::{Change, ComparedCounts, RolloutStatus};
use crate::config::AdminUrl;
use crate::rollout::{Budget, Counts, Course, Phase, Verdict};

/// The longest pause between two rounds of messages to all hosts.
const LOOK: Duration = Duration::from_millis(500);

/// A roll-out over several hosts.
pub(super) struct Leader<'a> {
    args: &'a SwapArgs,
    course: Course,
    /// A random id of this roll-out.
    id: String,
    /// Its timeout is a quarter of a lease, so that no host's lease ends much later than another's.
    caller: Caller,
    members: Vec<Member<'a>>,
}

/// Why a roll-out is withdrawn.
#[derive(Debug)]
struct Failure {
    reason: String,
    /// Whether the reason is a verdict on the counts of all hosts.
    is_verdict: bool,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self {
            reason,
            is_verdict: false,
        }
    }
}

impl<'a> Leader<'a> {
    pub(super) fn new(args: &'a SwapArgs, course: Course, caller: &Caller) -> Self {
        let id = new_id().to_str().unwrap_or_default().to_owned();
        let members = args.targets.admin.iter().map(Member::new).collect();
        Self {
            caller: Caller {
                token: caller.token.clone(),
                timeout: (args.lease / 4).max(Duration::from_millis(1)),
            },
            args,
            course,
            id,
            members,
        }
    }

    /// Starts the roll-out on all hosts, leads it from phase to phase, and ends it in the same way on all hosts.
    ///
    /// # Errors
    /// The version was withdrawn, or not all hosts have promoted it.
    pub(super) async fn lead(
        mut self,
        upload: &Caller,
        bytes: &Bytes,
        headers: &HeaderMap,
    ) -> Result<(), ClientError> {
        if let Err(error) = self.start(upload, bytes, headers).await {
            let why = "it did not begin on all hosts".to_owned();
            let withdrawn = self.withdraw(&why.into()).await;
            return Err(self.failure(format!("{error}; {withdrawn}")));
        }
        self.members.iter_mut().for_each(Member::begin);
        let outcome = tokio::select! {
            outcome = self.go_through() => outcome,
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned().into()),
        };
        let outcome = match outcome {
            Ok(()) => self.promote().await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = outcome {
            let withdrawn = self.withdraw(&failure).await;
            return Err(self.failure(format!("{}; {withdrawn}", failure.reason)));
        }
        self.settle().await
    }

    /// Sends the version to all hosts. Hosts that have begun get their leases renewed until all have begun.
    async fn start(
        &self,
        upload: &Caller,
        bytes: &Bytes,
        headers: &HeaderMap,
    ) -> Result<(), ClientError> {
        let missing = AtomicUsize::new(self.members.len());
        let missing = &missing;
        let started = self.members.iter().map(async |member| {
            let path = self.beginning(member.admin);
            let call = Call {
                headers: headers.clone(),
                body: bytes.clone(),
                ..Call::post(&path)
            };
            let change = upload.call::<Change>(member.admin, call).await;
            missing.fetch_sub(1, Ordering::Relaxed);
            let change = change?;
            self.keep(member.admin, missing).await;
            Ok::<_, ClientError>((member.admin, change))
        });
        // All answers are awaited. Otherwise a slow host could begin after the others were told to end.
        let started: Result<Vec<_>, _> = join_all(started).await.into_iter().collect();
        for (admin, change) in started? {
            say(&format!("{admin}: `{}`", self.args.component));
            lines(&change).iter().for_each(|line| say(line));
        }
        Ok(())
    }

    /// The path and query of the request that starts the roll-out on one host.
    fn beginning(&self, admin: &AdminUrl) -> String {
        let others = self.members.iter().map(|other| other.admin.to_string());
        let others: Vec<String> = others.filter(|other| *other != admin.to_string()).collect();
        path(
            self.args,
            Some(&self.course),
            &[
                ("rollout", self.id.clone()),
                ("peers", others.join(",")),
                ("lease", super::rollout::time(self.args.lease)),
            ],
        )
    }

    /// Renews the lease of a host that has begun, while other hosts have not.
    async fn keep(&self, admin: &AdminUrl, missing: &AtomicUsize) {
        let path = self.stepping(self.course.first());
        while missing.load(Ordering::Relaxed) > 0 {
            // The answers do not matter yet. When all hosts have begun, their states are asked for, and a refusal shows
            // then too.
            let told = self
                .caller
                .call::<RolloutStatus>(admin, Call::post(&path))
                .await;
            if matches!(told, Err(ClientError::Refused { .. })) {
                return;
            }
            tokio::time::sleep(self.pause()).await;
        }
    }

    async fn go_through(&mut self) -> Result<(), Failure> {
        let mut phase = self.course.first();
        while phase.is_open() {
            self.try_phase(phase).await?;
            phase = self.course.after(phase);
        }
        Ok(())
    }

    /// Moves all hosts to a phase, and judges by the counts of all.
    async fn try_phase(&mut self, phase: Phase) -> Result<(), Failure> {
        self.members.iter_mut().for_each(Member::begin_phase);
        let mut began = None;
        loop {
            self.round(phase).await?;
            let (new, stable) = sums(&self.members);
            if began.is_none() && self.members.iter().all(Member::is_in_phase) {
                began = Some(Instant::now());
            }
            let is_over = began.is_some_and(|began| began.elapsed() >= self.course.step_for);
            // A phase does not end while a host is silent, for example because it restarts.
            let is_over = is_over && self.is_fresh();
            let budget = self.budget();
            let verdict = match budget {
                Some(budget) if is_over => Some(budget.last(&new, &stable)),
                Some(budget) => budget.early(&new, &stable),
                None => None,
            };
            let name = self.course.name(phase);
            let counts = shown(&ComparedCounts::of(&new, &stable));
            match verdict {
                None => {}
                Some(Verdict::Passed) => {
                    say(&format!("  {name}: {counts}: passed"));
                    return Ok(());
                }
                Some(Verdict::Failed(reason) | Verdict::TooFew(reason)) => {
                    say(&format!("  {name}: {counts}: failed"));
                    return Err(Failure {
                        reason: format!("{reason} ({name})"),
                        is_verdict: true,
                    });
                }
            }
            tokio::time::sleep(self.pause()).await;
        }
    }

    /// Tells all hosts the phase of the roll-out, and records their answers.
    async fn round(&mut self, phase: Phase) -> Result<(), String> {
        let path = self.stepping(phase);
        let (caller, lease) = (&self.caller, self.args.lease);
        let rounds = self
            .members
            .iter_mut()
            .map(|member| member.step(caller, &path, lease));
        join_all(rounds).await.into_iter().collect()
    }

    /// The path and query of the message that is sent in each round.
    fn stepping(&self, phase: Phase) -> String {
        let lease = super::rollout::time(self.args.lease);
        format!("{}&phase={phase}&lease={lease}", self.path("step"))
    }

    /// The pause between two rounds of messages to all hosts.
    fn pause(&self) -> Duration {
        LOOK.min(self.args.lease / 4)
    }

    /// Whether all hosts have answered a recent call.
    fn is_fresh(&self) -> bool {
        let mut members = self.members.iter();
        members.all(|member| member.is_fresh(self.caller.timeout))
    }

    /// The strictest of the hosts' budgets.
    fn budget(&self) -> Option<Budget> {
        let budgets = self.members.iter().filter_map(Member::budget);
        budgets.reduce(Budget::stricter)
    }

    fn path(&self, action: &str) -> String {
        let component = segment(&self.args.component);
        format!("/components/{component}/{action}?rollout={}", self.id)
    }

    fn failure(&self, reason: String) -> ClientError {
        ClientError::Rollout {
            component: self.args.component.clone(),
            reason,
        }
    }
}

/// The counts of both versions, summed over all hosts.
fn sums(members: &[Member<'_>]) -> (Counts, Counts) {
    let (mut new, mut stable) = (Counts::default(), Counts::default());
    for member in members {
        member.add_to(&mut new, &mut stable);
    }
    (new, stable)
}

#[cfg(test)]
mod tests {
    use super::member::tests::standing;
    use super::*;

    #[test]
    fn two_hosts_are_judged_by_what_both_counted() {
        let url: AdminUrl = "http://127.0.0.1:1".parse().expect("a URL");
        let mut members = [Member::new(&url), Member::new(&url)];
        for member in &mut members {
            member.hear(standing(1, 12, 0, 0), Instant::now());
        }
        // This budget demands twenty requests.
        let budget = members[0].budget().expect("it was told");
        let (new, stable) = sums(&members[..1]);
        assert!(matches!(budget.last(&new, &stable), Verdict::TooFew(_)));
        let (new, stable) = sums(&members);
        assert_eq!((new.requests, stable.requests), (24, 240));
        assert_eq!(budget.last(&new, &stable), Verdict::Passed);
    }
}
