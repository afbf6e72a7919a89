//! Several MySQL servers with the same data, of which all hosts write to the same one: docs/adr/0024.
//!
//! A [`Group`] checks its `member`s all the time, and each check gives a `view`; the `roster` lists the members. A
//! `row` in the database names the writer, and its `origin` says whose data the members hold; `election` decides after
//! each check whether the writer stays. What a group must know after a reload or a restart is in the `records`. Before
//! a connection is opened, the group is asked which member it must lead to. While there is no writer, `standby` says
//! which members may answer reads.
//!
//! Nothing here runs a component's statement, or moves data from one member to another.

mod election;
mod member;
mod origin;
mod records;
mod roster;
mod row;
mod standby;
mod view;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use self::election::{Decision, WriterElection};
use self::member::Member;
pub(super) use self::records::Notebook;
use self::records::WriterRecord;
pub(crate) use self::records::WriterRecords;
pub(super) use self::roster::{GroupMembers, MemberAccess};
use self::row::Outcome;
use self::standby::Standbys;
use self::view::View;
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

/// How long the users of a connection to a former writer may still wait for an answer on it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where the group's writes go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The members were not checked yet, or another writer is about to be chosen.
    Undecided,
    /// To this member.
    Writer(HostPort),
    /// To no member. The text says why each is unfit.
    Nobody(String),
}

/// The members, and which of them is the writer. The group checks them until it is dropped.
pub(crate) struct Group {
    state: watch::Receiver<State>,
    standbys: Arc<Standbys>,
    /// Notified when a connection to the writer has failed.
    doubt: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Group {
    /// Begins to check the members of the roster. The notebook holds what is known of their writer.
    pub(super) fn start(
        roster: GroupMembers,
        metrics: GroupMetrics,
        notebook: Notebook,
    ) -> Arc<Self> {
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
            metrics,
            told,
        };
        let task = tokio::spawn(follower.run()).abort_handle();
        Arc::new(Self {
            state,
            standbys,
            doubt,
            task,
        })
    }

    /// The member to write to. Waits while that is undecided, without a time limit.
    ///
    /// # Errors
    /// No member is fit; the text says why.
    pub(super) async fn writer(&self) -> Result<HostPort, String> {
        let mut state = self.state.clone();
        let decided = state.wait_for(|state| *state != State::Undecided).await;
        match decided.as_deref() {
            Ok(State::Writer(at)) => Ok(at.clone()),
            Ok(State::Nobody(reasons)) => Err(format!("no member takes writes: {reasons}")),
            Ok(State::Undecided) | Err(_) => Err("the members are no longer checked".into()),
        }
    }

    /// The next writer, if another member than `last` becomes the writer within a second.
    pub(super) async fn next_after(&self, last: &HostPort) -> Option<HostPort> {
        timeout(FAREWELL, self.left(last)).await.ok()?;
        timeout(FAREWELL, self.writer()).await.ok()?.ok()
    }

    /// Whether `at` is the writer.
    pub(super) fn is_writer(&self, at: &HostPort) -> bool {
        matches!(&*self.state.borrow(), State::Writer(writer) if writer == at)
    }

    /// Resolves as soon as there is no writer.
    pub(super) async fn without_writer(&self) {
        let mut state = self.state.clone();
        let is_none = |state: &State| !matches!(state, State::Writer(_));
        if state.wait_for(is_none).await.is_err() {
            // The group is no longer checked, because the process or the app ends.
            std::future::pending::<()>().await;
        }
    }

    /// Has the members checked soon, because a connection to the writer has failed.
    pub(super) fn doubt_writer(&self) {
        self.doubt.notify_one();
    }

    /// The members that may answer reads while there is no writer.
    pub(super) fn standbys(&self) -> Vec<HostPort> {
        let mut standbys = self.standbys.members();
        standbys.retain(|at| !self.is_writer(at));
        standbys
    }

    /// Records that reads go to `at`, which is not the writer.
    pub(super) fn reads_from(&self, at: &HostPort) {
        self.standbys.begin(at);
    }

    /// Resolves when `at` is not the writer.
    async fn left(&self, at: &HostPort) {
        let mut state = self.state.clone();
        let other = |state: &State| !matches!(state, State::Writer(writer) if writer == at);
        if state.wait_for(other).await.is_err() {
            // The group is no longer checked, because the process or the app ends.
            std::future::pending::<()>().await;
        }
    }
}

/// How long a connection to a member may be used: as long as the member is the writer, and [`FAREWELL`] longer. A
/// statement that begins while it is not the writer may take as long as that.
#[derive(Clone)]
pub(super) struct WriterTenure {
    group: Arc<Group>,
    at: HostPort,
}

impl WriterTenure {
    pub(super) fn new(group: Arc<Group>, at: HostPort) -> Self {
        Self { group, at }
    }

    /// Resolves when that time is over.
    pub(super) async fn over(&self) {
        self.group.left(&self.at).await;
        sleep(FAREWELL).await;
    }
}

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
    metrics: GroupMetrics,
    told: watch::Sender<State>,
}

impl Follower {
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
        for view in &views {
            self.metrics
                .member_is_fit(&view.at.to_string(), view.fitness.is_fit());
        }
        let decision = self.election.decide(&views);
        let known = self.election.record();
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
