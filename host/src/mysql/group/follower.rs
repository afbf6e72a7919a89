//! The task of a group: it checks the members again and again, and has the writer changed where that is due.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::election::{Decision, WriterElection};
use super::member::Member;
use super::records::{Notebook, WriterRecord};
use super::roster::GroupMembers;
use super::row::Outcome;
use super::standby::Standbys;
use super::view::{STRANGER, View};
use super::{Group, State};
use crate::config::HostPort;
use crate::metrics::GroupMetrics;

/// The pause between two checks of the members. With the wait for a silent member, a dead writer is found within a
/// second.
const PERIOD: Duration = Duration::from_millis(300);

/// The pause before the next check if a connection to the writer has just failed.
const PERIOD_IN_DOUBT: Duration = Duration::from_millis(30);

/// How long a member may take to confirm that it is the new writer: a cluster that lost a member first has to agree on
/// that.
const CHANGE_LIMIT: Duration = Duration::from_secs(5);

/// A change of the writer that was not made.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Refusal {
    member: usize,
    term: i64,
    outcome: Outcome,
}

/// The task of a group.
struct Follower {
    standbys: Arc<Standbys>,
    /// Notified when a connection to the writer has failed.
    doubt: Arc<Notify>,
    roster: GroupMembers,
    election: WriterElection,
    notebook: Notebook,
    /// The record that this group wrote to the notebook last. Another group of the same database may have written a
    /// different one.
    noted: Option<WriterRecord>,
    /// The refused change that was logged last.
    refusal: Option<Refusal>,
    /// The members with another store's data. The log has named each of them.
    strangers: Vec<HostPort>,
    metrics: GroupMetrics,
    told: watch::Sender<State>,
}

/// Begins to check the members of the roster. The notebook holds what is known of their writer.
pub(in crate::mysql) fn start(
    roster: GroupMembers,
    metrics: GroupMetrics,
    notebook: Notebook,
) -> Arc<Group> {
    let (told, state) = watch::channel(State::Undecided);
    let election = match roster.may_lack_some() {
        true => WriterElection::of_some(notebook.read()),
        false => WriterElection::new(notebook.read()),
    };
    let standbys = Arc::<Standbys>::default();
    let doubt = Arc::<Notify>::default();
    let follower = Follower {
        standbys: standbys.clone(),
        doubt: doubt.clone(),
        roster,
        election,
        notebook,
        noted: None,
        refusal: None,
        strangers: Vec::new(),
        metrics,
        told,
    };
    let task = tokio::spawn(follower.run()).abort_handle();
    Arc::new(Group {
        state,
        standbys,
        doubt,
        task,
    })
}

impl Follower {
    /// Checks the members for ever.
    async fn run(mut self) {
        loop {
            if self.roster.follow() {
                self.leave_who_is_gone();
                self.metrics.members_are(self.roster.names());
                // The indices of the members have changed.
                self.refusal = None;
            }
            let decision = match self.roster.without_members() {
                Some(decision) => decision,
                None => self.look().await,
            };
            let has_writer = matches!(decision, Decision::Write(_));
            match decision {
                Decision::Write(at) => {
                    self.metrics.writer_is(Some(&at.to_string()));
                    self.tell(State::Writer(at));
                }
                Decision::Wait => {}
                Decision::Nobody(reasons) => {
                    self.metrics.writer_is(None);
                    self.tell(State::Nobody(reasons));
                }
                Decision::Change { to, term } => {
                    self.tell(State::Undecided);
                    let change = self.roster.members[to].become_writer(term);
                    match timeout(CHANGE_LIMIT, change).await {
                        // The next check shows the new writer, whether this host or another one has changed it.
                        Ok(Ok(Outcome::Changed)) => continue,
                        Ok(Ok(outcome)) => self.refused(Refusal {
                            member: to,
                            term,
                            outcome,
                        }),
                        Ok(Err(error)) => self.failed(to, &error),
                        Err(_) => self.failed(to, &format!("no answer within {CHANGE_LIMIT:?}")),
                    }
                }
            }
            tokio::select! {
                () = sleep(PERIOD) => {}
                () = self.doubt.notified(), if has_writer => sleep(PERIOD_IN_DOUBT).await,
            }
        }
    }

    /// Stops writing to a member that is none any more, before it is known who is next: that may take until a silent
    /// member counts as gone.
    fn leave_who_is_gone(&self) {
        let is_gone = match &*self.told.borrow() {
            State::Writer(at) => !self.roster.members.iter().any(|member| member.at() == at),
            State::Undecided | State::Nobody(_) => false,
        };
        if is_gone {
            self.tell(State::Undecided);
        }
    }

    /// Checks all members, and decides what follows.
    async fn look(&mut self) -> Decision {
        let views = join_all(self.roster.members.iter_mut().map(Member::look)).await;
        let decision = self.election.decide(&views);
        let known = self.election.record();
        let is_stranger = |view: &&View| known.is_some_and(|known| view.is_stranger(known));
        for view in &views {
            let is_fit = view.fitness.is_fit() && !is_stranger(&view);
            self.metrics.member_is_fit(&view.at.to_string(), is_fit);
        }
        let strangers = views.iter().filter(is_stranger);
        let strangers: Vec<HostPort> = strangers.map(|view| view.at.clone()).collect();
        for at in strangers.iter().filter(|at| !self.strangers.contains(at)) {
            tracing::warn!("MySQL member {at}: {STRANGER}");
        }
        self.strangers = strangers;
        let can_stand_by = |view: &&View| known.is_some_and(|known| view.can_stand_by(known));
        let standbys = views.iter().filter(can_stand_by);
        self.standbys
            .set(standbys.map(|view| view.at.clone()).collect());
        self.note();
        decision
    }

    /// Writes new knowledge to the notebook.
    fn note(&mut self) {
        let known = self.election.record();
        if let Some(record) = known
            && known != self.noted.as_ref()
        {
            self.notebook.write(record.clone());
            self.noted = Some(record.clone());
        }
    }

    /// Logs why a change was not made. The change is tried again after each check, but each reason is logged only once.
    fn refused(&mut self, refusal: Refusal) {
        if self.refusal.replace(refusal) == Some(refusal) {
            return;
        }
        let member = self.roster.members[refusal.member].name();
        match refusal.outcome {
            Outcome::Changed => {}
            Outcome::TooSoon => tracing::warn!(
                "MySQL member {member} is not the writer yet: the last change of the writer is less than 5 s old, and stands for that long"
            ),
            Outcome::Beaten => {
                tracing::info!("MySQL member {member} is not the writer: another host was quicker");
            }
        }
    }

    fn failed(&mut self, member: usize, error: &dyn std::fmt::Display) {
        let member = &mut self.roster.members[member];
        tracing::warn!(
            "MySQL member {} did not become the writer: {error}",
            member.name()
        );
        member.hang_up();
    }

    fn tell(&self, state: State) {
        let changed = self.told.send_if_modified(|told| {
            let changes = *told != state;
            told.clone_from(&state);
            changes
        });
        if !changed {
            return;
        }
        match &state {
            State::Undecided => {}
            State::Writer(at) => {
                tracing::info!("MySQL member {at} is the writer");
                self.standbys.end();
            }
            State::Nobody(reasons) => {
                tracing::error!("No MySQL member takes writes: {reasons}");
            }
        }
    }
}
