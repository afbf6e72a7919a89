//! How to reach all MySQL servers: their TLS settings, and which of them are members of one group.

use std::sync::Arc;

use parking_lot::Mutex;
use store_server::names::Resolver;

use super::group::{self, Group, GroupMembers, MemberAccess, Notebook, WriterRecords};
use super::server::Server;
use crate::config::{HostPort, MysqlMember, MysqlSettings};
use crate::metrics::Metrics;
use crate::outbound::{Backend, Tls};

/// When there are this many groups, unused ones end before another is made. A component may use many users in its
/// addresses, and each user has a group.
const MOST_GROUPS: usize = 8;

/// The settings of all servers. A reload makes a new one, which reads the files again.
pub(crate) struct Servers {
    tls: Arc<Tls>,
    members: Members,
    metrics: Arc<Metrics>,
    /// The records of the writers. They outlive the groups and this.
    writers: Arc<WriterRecords>,
    /// The groups, one for each user and database. A group is added when it is first needed.
    groups: Mutex<Vec<(Backend, Arc<Group>)>>,
}

/// Which servers hold the same data.
enum Members {
    /// The listed servers, in the order of preference. The list is empty if each address is a server of its own.
    Listed(Vec<HostPort>),
    /// The servers at all addresses of a host name, and how the name is looked up.
    AllOf(HostPort, Resolver),
}

impl Servers {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// Names a flag and says what is wrong with it, in one line.
    pub(crate) fn new(
        settings: &MysqlSettings,
        metrics: Arc<Metrics>,
        writers: Arc<WriterRecords>,
    ) -> Result<Self, String> {
        let tls = Tls::load(&settings.tls.settings())?;
        Ok(Self {
            tls: Arc::new(tls),
            members: Members::of(settings)?,
            metrics,
            writers,
            groups: Mutex::default(),
        })
    }

    /// Refuses an address that needs something that the settings don't have.
    ///
    /// # Errors
    /// Says what to do.
    pub(crate) fn check(&self, backend: &Backend) -> Result<(), String> {
        backend.check_tls(&self.tls)
    }

    /// Refuses members if the app's addresses name none of them.
    ///
    /// # Errors
    /// Says what to do.
    pub(crate) fn check_members(&self, named: &[Backend]) -> Result<(), String> {
        let is_named = |backend: &Backend| self.members.contain(&backend.address());
        if self.members.are_none() || named.is_empty() || named.iter().any(is_named) {
            return Ok(());
        }
        Err(format!(
            "--mysql-members: the app's database is at {}, which is not among them; name one of them there",
            named[0]
        ))
    }

    /// The server at `backend`, with connection options for a component with this memory limit. If the address stands
    /// for a group, the group chooses the server.
    pub(crate) fn server(&self, backend: &Backend, memory_limit_bytes: usize) -> Server {
        let group = self.group_of(backend);
        Server::alone(&self.resolved(backend), &self.tls, memory_limit_bytes).chosen_by(group)
    }

    /// The address that is connected to. If the address is the host name of all members, it stands for each of them.
    fn resolved(&self, backend: &Backend) -> Backend {
        match &self.members {
            Members::AllOf(name, _) if *name == backend.address() => backend.known_by_its_name(),
            _ => backend.clone(),
        }
    }

    /// The group that `backend` belongs to, if any.
    pub(super) fn group_of(&self, backend: &Backend) -> Option<Arc<Group>> {
        if !self.members.contain(&backend.address()) {
            return None;
        }
        // An address that names any member means the whole group.
        let backend = match &self.members {
            Members::Listed(members) => backend.at(members.first()?),
            Members::AllOf(..) => self.resolved(backend),
        };
        let mut groups = self.groups.lock();
        if let Some((_, group)) = groups.iter().find(|(known, _)| *known == backend) {
            return Some(group.clone());
        }
        if groups.len() >= MOST_GROUPS {
            groups.retain(|(_, group)| Arc::strong_count(group) > 1);
        }
        let group = self.start_group(&backend);
        groups.push((backend, group.clone()));
        Some(group)
    }

    fn start_group(&self, backend: &Backend) -> Arc<Group> {
        let reach = MemberAccess::new(backend.clone(), self.tls.clone());
        let roster = match &self.members {
            Members::Listed(members) => GroupMembers::listed(reach, members),
            Members::AllOf(name, resolver) => GroupMembers::all_of(reach, name, resolver.clone()),
        };
        let database = backend.database().unwrap_or_default();
        let notebook = Notebook::new(self.writers.clone(), database, self.members.names());
        let metrics = self.metrics.mysql_group(database, roster.names());
        group::start(roster, metrics, notebook)
    }
}

impl Members {
    /// # Errors
    /// Names the flag and says what is wrong with it, in one line.
    fn of(settings: &MysqlSettings) -> Result<Self, String> {
        let entries = &settings.members;
        for (number, entry) in entries.iter().enumerate() {
            if entries[..number].contains(entry) {
                return Err(format!("--mysql-members: `{entry}` is named twice"));
            }
        }
        if let [MysqlMember::AllOf(name)] = entries.as_slice() {
            let resolver = Resolver {
                servers: settings.name_servers.clone(),
                ..Resolver::default()
            };
            return Ok(Self::AllOf(name.clone(), resolver));
        }
        if !settings.name_servers.is_empty() {
            return Err(
                "--mysql-name-servers has no effect without --mysql-members dns:host:port".into(),
            );
        }
        let servers = entries.iter().map(|entry| match entry {
            MysqlMember::Server(server) => Ok(server.clone()),
            MysqlMember::AllOf(_) => Err(format!(
                "--mysql-members: `{entry}` means all members, so name nothing beside it"
            )),
        });
        servers.collect::<Result<_, _>>().map(Self::Listed)
    }

    fn are_none(&self) -> bool {
        matches!(self, Self::Listed(members) if members.is_empty())
    }

    /// Whether an address stands for the members.
    fn contain(&self, address: &HostPort) -> bool {
        match self {
            Self::Listed(members) => members.contains(address),
            Self::AllOf(name, _) => name == address,
        }
    }

    /// The names under which records are kept. For a host name it is the name itself, because its addresses come and
    /// go; also as one server, so that what is remembered outlives a change from a list with this name, or to one.
    fn names(&self) -> Vec<String> {
        match self {
            Self::Listed(members) => members.iter().map(HostPort::to_string).collect(),
            Self::AllOf(name, _) => {
                vec![
                    MysqlMember::AllOf(name.clone()).to_string(),
                    name.to_string(),
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_all_members_is_one_of_a_list_that_has_it() {
        let name = HostPort::new("db", 3306);
        let list = Members::Listed(vec![name.clone(), HostPort::new("other", 3306)]);
        let all = Members::AllOf(name, Resolver::default()).names();
        assert_eq!(all, ["dns:db:3306", "db:3306"]);
        assert!(list.names().iter().any(|listed| all.contains(listed)));
    }
}
