//! The members of a group: either those that the settings list, or those at all addresses of a host name, which is
//! looked up again and again.

use std::sync::Arc;
use std::time::Instant;

use store_server::names::{LookupError, NameState, Resolver, ServerLocation, SystemFiles, look_up};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::election::Decision;
use super::member::Member;
use crate::config::HostPort;
use crate::mysql::server::Server;
use crate::outbound::{Backend, Tls};

/// What is needed to connect to a member: user, database and TLS settings.
pub(in crate::mysql) struct MemberAccess {
    backend: Backend,
    tls: Arc<Tls>,
}

impl MemberAccess {
    pub(in crate::mysql) fn new(backend: Backend, tls: Arc<Tls>) -> Self {
        Self { backend, tls }
    }

    fn member(&self, at: HostPort) -> Member {
        // The answers to a check are small, so the connection needs no room for large ones.
        let server = Server::alone(&self.backend.at(&at), &self.tls, 0);
        Member::new(at, server)
    }
}

/// The members of one group.
pub(in crate::mysql) struct GroupMembers {
    pub(super) members: Vec<Member>,
    reach: MemberAccess,
    /// The host name whose addresses are the members; `None` if the members are listed.
    host: Option<Host>,
}

/// A host name whose addresses are members.
struct Host {
    name: HostPort,
    answers: watch::Receiver<Answer>,
    /// The task that looks up the name. It ends when this is dropped.
    _look_ups: JoinSet<()>,
}

/// The result of the look-ups.
#[derive(Clone, Default)]
struct Answer {
    /// The addresses, in the same order for every host that asks.
    addresses: Vec<HostPort>,
    /// The error of the last look-up, if it failed.
    trouble: Option<LookupError>,
}

impl GroupMembers {
    /// The listed members, in the order of preference.
    pub(in crate::mysql) fn listed(reach: MemberAccess, members: &[HostPort]) -> Self {
        let members = members.iter().map(|at| reach.member(at.clone())).collect();
        Self {
            members,
            reach,
            host: None,
        }
    }

    /// A member at each address of the host `name`. There are no members until it was looked up.
    pub(in crate::mysql) fn all_of(
        reach: MemberAccess,
        name: &HostPort,
        resolver: Resolver,
    ) -> Self {
        let (told, answers) = watch::channel(Answer::default());
        let mut look_ups = JoinSet::new();
        look_ups.spawn(follow(name.clone(), resolver, told));
        let host = Host {
            name: name.clone(),
            answers,
            _look_ups: look_ups,
        };
        Self {
            members: Vec::new(),
            reach,
            host: Some(host),
        }
    }

    /// Updates the members to the host's present addresses. Returns whether they have changed.
    pub(super) fn follow(&mut self) -> bool {
        let Some(host) = &self.host else { return false };
        let now = host.answers.borrow().addresses.clone();
        let before = self.members.iter().map(Member::at);
        if before.eq(&now) {
            return false;
        }
        // A member that stays keeps its connection and its state.
        let mut before = std::mem::take(&mut self.members);
        for at in now {
            let known = before.iter().position(|member| *member.at() == at);
            let member = match known {
                Some(place) => before.swap_remove(place),
                None => self.reach.member(at),
            };
            self.members.push(member);
        }
        true
    }

    /// Whether there may be unknown members: name servers leave out members that they take for dead.
    pub(super) fn may_lack_some(&self) -> bool {
        self.host.is_some()
    }

    /// What to do while there is no member to check; `None` if there is one.
    pub(super) fn without_members(&self) -> Option<Decision> {
        if !self.members.is_empty() {
            return None;
        }
        let host = self.host.as_ref()?;
        Some(match &host.answers.borrow().trouble {
            None => Decision::Wait,
            Some(trouble) => Decision::Nobody(format!(
                "`{}`, whose addresses are the members, can't be looked up: {trouble}",
                host.name
            )),
        })
    }

    /// The members' names, as operators see them.
    pub(in crate::mysql) fn names(&self) -> Vec<String> {
        self.members.iter().map(Member::name).collect()
    }
}

/// Looks the host name up whenever that is due, and sends the result to `told`.
async fn follow(name: HostPort, resolver: Resolver, told: watch::Sender<Answer>) {
    let place = ServerLocation::Host {
        name: name.host,
        port: name.port,
    };
    let (files, mut known) = (SystemFiles::default(), NameState::default());
    loop {
        let found = look_up(&files, &place, &resolver).await;
        let change = known.take_in(found, resolver.min_interval, Instant::now());
        change.log(&place.to_string());
        told.send_replace(Answer::of(&known));
        sleep(known.due_in(Instant::now())).await;
    }
}

impl Answer {
    fn of(known: &NameState) -> Self {
        let places = known.found().iter().map(|found| found.address);
        Self {
            addresses: places
                .map(|at| HostPort::new(&at.ip().to_string(), at.port()))
                .collect(),
            trouble: known.trouble().cloned(),
        }
    }
}
