//! Several MySQL servers with the same data, of which all hosts write to the same one: docs/adr/0024.
//!
//! A [`Group`] has its `member`s checked by a `follower` all the time, and each check gives a `view`; the `roster`
//! lists the members. A `row` in the database names the writer, and its `origin` says whose data the members hold;
//! `election` decides after each check whether the writer stays. What a group must know after a reload or a restart is
//! in the `records`. Before a connection is opened, the group is asked which member it must lead to. While there is no
//! writer, `standby` says which members may answer reads.
//!
//! Nothing here runs a component's statement, or moves data from one member to another.

mod election;
mod follower;
mod member;
mod origin;
mod records;
mod roster;
mod row;
mod standby;
mod view;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

pub(super) use self::follower::start;
pub(super) use self::records::Notebook;
pub(crate) use self::records::WriterRecords;
pub(super) use self::roster::{GroupMembers, MemberAccess};
use self::standby::Standbys;
use crate::config::HostPort;

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

    /// Records that reads go to `at`, because there is no writer. Does nothing if one has been chosen meanwhile.
    pub(super) fn reads_from(&self, at: &HostPort) {
        // Until this is over, no writer can be told, so `Standbys::end` comes after `begin`.
        let state = self.state.borrow();
        if !matches!(*state, State::Writer(_)) {
            self.standbys.begin(at);
        }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[tokio::test]
    async fn reads_go_elsewhere_only_while_there_is_no_writer() {
        let (told, state) = watch::channel(State::Undecided);
        let group = Group {
            state,
            standbys: Arc::default(),
            doubt: Arc::default(),
            task: tokio::spawn(async {}).abort_handle(),
        };
        let at = HostPort::new("db2", 3306);
        let are_used = || group.standbys.are_used.load(Ordering::Relaxed);
        told.send_replace(State::Writer(HostPort::new("db1", 3306)));
        group.reads_from(&at);
        assert!(!are_used());
        told.send_replace(State::Nobody("it is gone".into()));
        group.reads_from(&at);
        assert!(are_used());
    }
}
