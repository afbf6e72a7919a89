//! `store-host swap --fleet`: leads a roll-out over several hosts, so that a step is a share of the whole traffic and one
//! verdict counts for all. What happens when this command or a host ends in the middle: `docs/adr/0027`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use http::HeaderMap;
use store_server::request_id::new_id;

use super::http::{Call, Caller};
use super::member::{Heard, Member, TRIES};
use super::swap::{SwapArgs, lines, path, segment};
use super::{ClientError, say};
use crate::answers::Change;
use crate::rollout::{Budget, Counts, Course, Phase, Verdict};

/// Time between two rounds of all hosts.
const LOOK: Duration = Duration::from_millis(500);

/// A roll-out over several hosts.
pub(super) struct Leader<'a> {
    args: &'a SwapArgs,
    course: Course,
    /// Chosen anew for each roll-out.
    id: String,
    /// Asks within a quarter of a lease, so that no host's lease ends much later than another's.
    caller: Caller,
    members: Vec<Member<'a>>,
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

    /// Starts it on all hosts, leads it from phase to phase, and ends it on all of them alike.
    ///
    /// # Errors
    /// It was withdrawn, or not all hosts have promoted.
    pub(super) async fn lead(
        mut self,
        upload: &Caller,
        bytes: &Bytes,
        headers: &HeaderMap,
    ) -> Result<(), ClientError> {
        if let Err(error) = self.start(upload, bytes, headers).await {
            self.withdraw("it did not begin on all hosts").await;
            return Err(error);
        }
        let outcome = tokio::select! {
            outcome = self.go_through() => outcome,
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        };
        let outcome = match outcome {
            Ok(()) => self.promote().await,
            Err(reason) => Err(reason),
        };
        if let Err(reason) = outcome {
            let silent = self.withdraw(&reason).await;
            return Err(self.failure(format!("{reason}; withdrawn on all hosts{silent}")));
        }
        self.settle().await
    }

    /// Sends the version to all hosts.
    async fn start(
        &self,
        upload: &Caller,
        bytes: &Bytes,
        headers: &HeaderMap,
    ) -> Result<(), ClientError> {
        // Until all have compiled it.
        let lease = upload.timeout + self.args.lease;
        let started = self.members.iter().map(async |member| {
            let others = self.members.iter().map(|other| other.admin.to_string());
            let others: Vec<String> = others
                .filter(|other| *other != member.admin.to_string())
                .collect();
            let path = path(
                self.args,
                Some(&self.course),
                &[
                    ("rollout", self.id.clone()),
                    ("peers", others.join(",")),
                    ("lease", super::rollout::time(lease)),
                ],
            );
            let call = Call {
                headers: headers.clone(),
                body: bytes.clone(),
                ..Call::post(&path)
            };
            let change: Change = upload.call(member.admin, call).await?;
            Ok::<_, ClientError>((member.admin, change))
        });
        // All of them, or one that is slow would begin after the others were told to end.
        let started: Result<Vec<_>, _> = join_all(started).await.into_iter().collect();
        for (admin, change) in started? {
            say(&format!("{admin}: `{}`", self.args.component));
            lines(&change).iter().for_each(|line| say(line));
        }
        Ok(())
    }

    async fn go_through(&mut self) -> Result<(), String> {
        let mut phase = self.course.first();
        while phase.is_open() {
            self.try_phase(phase).await?;
            phase = self.course.after(phase);
        }
        Ok(())
    }

    /// Has all hosts go on to a phase, and judges by the counts of all.
    async fn try_phase(&mut self, phase: Phase) -> Result<(), String> {
        self.members.iter_mut().for_each(Member::begin_phase);
        let mut began = None;
        loop {
            self.round(phase).await?;
            let (new, stable) = self.sums();
            if began.is_none() && self.members.iter().all(Member::is_in_phase) {
                began = Some(Instant::now());
            }
            let is_over = began.is_some_and(|began| began.elapsed() >= self.course.step_for);
            // One that is restarting is waited for.
            let is_over = is_over && self.is_fresh();
            let budget = self.budget();
            let verdict = match budget {
                Some(budget) if is_over => Some(budget.last(&new, &stable)),
                Some(budget) => budget.early(&new, &stable),
                None => None,
            };
            let name = self.course.name(phase);
            match verdict {
                None => {}
                Some(Verdict::Passed) => {
                    say(&format!("  {name}: {}: passed", counted(&new, &stable)));
                    return Ok(());
                }
                Some(Verdict::Failed(reason) | Verdict::TooFew(reason)) => {
                    say(&format!("  {name}: {}: failed", counted(&new, &stable)));
                    return Err(format!("{reason} ({name})"));
                }
            }
            tokio::time::sleep(LOOK.min(self.args.lease / 4)).await;
        }
    }

    /// Tells all hosts where the roll-out stands, and hears how it does.
    async fn round(&mut self, phase: Phase) -> Result<(), String> {
        let path = format!(
            "/components/{}/step?rollout={}&phase={phase}&lease={}",
            segment(&self.args.component),
            self.id,
            super::rollout::time(self.args.lease)
        );
        let (caller, lease) = (&self.caller, self.args.lease);
        let rounds = self
            .members
            .iter_mut()
            .map(|member| member.step(caller, &path, lease));
        for heard in join_all(rounds).await {
            if let Heard::Gone(reason) = heard {
                return Err(reason);
            }
        }
        Ok(())
    }

    /// Whether all hosts have answered a moment ago.
    fn is_fresh(&self) -> bool {
        let mut members = self.members.iter();
        members.all(|member| member.is_fresh(self.caller.timeout))
    }

    fn sums(&self) -> (Counts, Counts) {
        let (mut new, mut stable) = (Counts::default(), Counts::default());
        for member in &self.members {
            member.add_to(&mut new, &mut stable);
        }
        (new, stable)
    }

    /// The strictest of what the hosts were told.
    fn budget(&self) -> Option<Budget> {
        let budgets = self.members.iter().filter_map(Member::budget);
        budgets.reduce(Budget::stricter)
    }

    /// Promotes on all hosts. Those that give no answer do it by themselves when they find that another has.
    async fn promote(&mut self) -> Result<(), String> {
        let last = Phase::Step(self.course.steps.len().saturating_sub(1));
        // No host may give up waiting while others are told.
        while !self.is_fresh() {
            tokio::time::sleep(LOOK).await;
            self.round(last).await?;
        }
        let path = self.path("promote");
        let (caller, component, id) = (&self.caller, &self.args.component, &self.id);
        let members = self.members.iter_mut();
        let told = members.map(|member| member.promote(caller, &path, component, id));
        let refused = join_all(told).await.into_iter().find_map(Result::err);
        match refused {
            Some(reason) => Err(reason),
            None if self.members.iter().any(|member| member.is_promoted) => Ok(()),
            None => Err("no host gave an answer when it was told to promote".into()),
        }
    }

    /// Tells all hosts that all have promoted.
    async fn settle(&self) -> Result<(), ClientError> {
        let silent = self.members.iter().filter(|member| !member.is_promoted);
        let silent: Vec<String> = silent.map(|member| member.admin.to_string()).collect();
        if !silent.is_empty() {
            return Err(self.failure(format!(
                "promoted, but {} gave no answer and will ask the others when it can",
                silent.join(", ")
            )));
        }
        let path = self.path("settle");
        let told = self.members.iter().map(async |member| {
            // Who does not hear of it asks the others.
            _ = self
                .caller
                .call::<Change>(member.admin, Call::post(&path))
                .await;
        });
        join_all(told).await;
        say(&format!("promoted on all {} hosts", self.members.len()));
        Ok(())
    }

    /// Takes the version out of service on all hosts. Says which of them gave no answer.
    async fn withdraw(&self, reason: &str) -> String {
        let mut path = self.path("abort");
        path.push_str("&reason=");
        path.extend(url::form_urlencoded::byte_serialize(reason.as_bytes()));
        let path = &path;
        let told = self.members.iter().map(async |member| {
            for _ in 0..TRIES {
                match self
                    .caller
                    .call::<Change>(member.admin, Call::post(path))
                    .await
                {
                    Err(ClientError::NoAnswer { .. }) => {}
                    _ => return None,
                }
            }
            Some(member.admin.to_string())
        });
        let silent: Vec<String> = join_all(told).await.into_iter().flatten().collect();
        if silent.is_empty() {
            return String::new();
        }
        let lease = humantime::format_duration(self.args.lease);
        format!(
            " but {}, which will withdraw within two times {lease}, or when it is back",
            silent.join(", ")
        )
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

/// What both versions did, in an operator's words.
pub(super) fn counted(new: &Counts, stable: &Counts) -> String {
    let one = |counts: &Counts| {
        let p99 = counts
            .p99()
            .map(|p99| format!(", p99 {:.1} ms", p99.as_secs_f64() * 1000.0));
        format!(
            "{} requests, {} failed{}",
            counts.requests,
            counts.errors,
            p99.unwrap_or_default()
        )
    };
    format!("{}; stable: {}", one(new), one(stable))
}
