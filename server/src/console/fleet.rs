//! The other members of the fleet, and whether each of them answers.
//!
//! The page may connect only to the listener that served it, so its requests to other members go through this program:
//! see `forward`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::exchange::MemberRequest;
use super::member::Member;

/// Time limit for a request that reads.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(4);

/// All other members.
pub(super) struct Fleet {
    configured: Vec<Member>,
    standing: Arc<Mutex<Vec<MemberHealth>>>,
    /// Running checks of members.
    looks: Mutex<JoinSet<()>>,
    /// The right to receive a component that is to be passed on. There is one permit, so that this program's memory
    /// holds one component at a time.
    pub(super) uploads: Arc<Semaphore>,
}

/// What is known of a member.
struct MemberHealth {
    member: Member,
    /// `None` before the first check.
    answers: Option<Result<(), String>>,
    since: Instant,
    /// Whether a check of the member is running.
    is_looked_at: bool,
}

impl Fleet {
    pub(super) fn new(configured: Vec<Member>) -> Self {
        Self {
            configured,
            standing: Arc::default(),
            looks: Mutex::default(),
            uploads: Arc::new(Semaphore::new(1)),
        }
    }

    /// Starts checks whether each member answers. The members are the configured ones and those that were `found`.
    pub(super) fn look(&self, found: Vec<Member>) {
        let now = Instant::now();
        let mut standing = self.standing.lock();
        // Paths address a member by its name, so a configured member keeps its name.
        let is_new = |found: &Member, one: &Member| one.url != found.url && one.name != found.name;
        let found = found.into_iter();
        let found = found.filter(|found| self.configured.iter().all(|one| is_new(found, one)));
        let wanted: Vec<Member> = self.configured.iter().cloned().chain(found).collect();
        let mut before = std::mem::take(&mut *standing);
        for member in wanted {
            let known = before.iter().position(|known| known.member == member);
            standing.push(match known {
                Some(at) => before.swap_remove(at),
                None => MemberHealth {
                    member,
                    answers: None,
                    since: now,
                    is_looked_at: false,
                },
            });
        }
        let mut looks = self.looks.lock();
        while looks.try_join_next().is_some() {}
        for one in standing.iter_mut().filter(|one| !one.is_looked_at) {
            one.is_looked_at = true;
            let (member, standing) = (one.member.clone(), self.standing.clone());
            looks.spawn(async move {
                let asked = MemberRequest {
                    method: &Method::GET,
                    path: "/healthz",
                    query: None,
                    headers: &HeaderMap::new(),
                    body: Bytes::new(),
                };
                let answers = asked.send(&member, READ_LIMIT).await;
                let answers = answers.map(|_| ()).map_err(|failure| failure.reason);
                with(&standing, &member, |one| {
                    one.is_looked_at = false;
                    one.note(answers);
                });
            });
        }
    }

    /// The members in the form that `GET /fleet` answers.
    pub(super) fn members(&self) -> Value {
        let now = Instant::now();
        let standing = self.standing.lock();
        let members = standing.iter().map(|one| {
            json!({
                "name": one.member.name,
                "url": one.member.url,
                "state": match &one.answers {
                    None => "unknown",
                    Some(Ok(())) => "up",
                    Some(Err(_)) => "gone",
                },
                "for_s": now.saturating_duration_since(one.since).as_secs(),
                "reason": one.answers.as_ref().and_then(|answers| answers.as_ref().err()),
            })
        });
        members.collect()
    }

    /// The member of this name.
    pub(super) fn member(&self, name: &str) -> Option<Member> {
        let standing = self.standing.lock();
        let found = standing.iter().map(|one| &one.member);
        found
            .chain(&self.configured)
            .find(|one| one.name == name)
            .cloned()
    }

    /// Notes that a member can't be reached, before the next check finds out.
    pub(super) fn is_gone(&self, member: &Member, reason: String) {
        with(&self.standing, member, |one| one.note(Err(reason)));
    }
}

/// Calls `act` with the state of a member, if it still is a member.
fn with(standing: &Mutex<Vec<MemberHealth>>, member: &Member, act: impl FnOnce(&mut MemberHealth)) {
    let mut standing = standing.lock();
    if let Some(one) = standing.iter_mut().find(|one| one.member == *member) {
        act(one);
    }
}

impl MemberHealth {
    /// Notes whether the member answers, and the time if that has changed.
    fn note(&mut self, answers: Result<(), String>) {
        let was_up = self.answers.as_ref().map(Result::is_ok);
        if was_up != Some(answers.is_ok()) {
            self.since = Instant::now();
            if let Err(reason) = &answers {
                let (member, url) = (&self.member.name, &self.member.url);
                tracing::warn!(member, %url, "`{member}`, of the console's fleet, does not answer: {reason}");
            }
        }
        self.answers = Some(answers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, address: &str) -> Member {
        let text = format!("{name}=http://{address}");
        text.parse().expect("a member")
    }

    #[tokio::test]
    async fn who_is_found_takes_no_configured_name_or_address() {
        let fleet = Fleet::new(vec![member("a", "127.0.0.1:1")]);
        fleet.look(vec![
            member("a", "127.0.0.2:1"),
            member("b", "127.0.0.1:1"),
            member("c", "127.0.0.3:1"),
        ]);
        let shown = fleet.members();
        let names: Vec<_> = shown.as_array().into_iter().flatten().collect();
        let names: Vec<_> = names.iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["a", "c"]);
        let known = fleet.member("a").expect("a member");
        assert_eq!(known.url.to_string(), "http://127.0.0.1:1");
    }
}
