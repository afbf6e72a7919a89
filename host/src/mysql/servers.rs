//! How MySQL servers are reached, whoever asks: with what TLS, and which of them are members of one group.

use std::sync::Arc;

use parking_lot::Mutex;
use store_server::names::Resolver;

use super::group::{Group, GroupMembers, MemberAccess, Notebook, WriterRecords};
use crate::config::{HostPort, MysqlMember, MysqlSettings};
use crate::metrics::Metrics;
use crate::outbound::{Backend, Tls};

/// More groups than this are looked at as long as somebody uses them: a component may vary the user in its addresses.
const MOST_GROUPS: usize = 8;

/// What the settings say of all servers. A reload makes another, which reads the files again.
pub(crate) struct Servers {
    pub(super) tls: Arc<Tls>,
    members: Members,
    metrics: Arc<Metrics>,
    /// What groups remember. It outlives them and this.
    writers: Arc<WriterRecords>,
    /// The groups, one for each user and database. Written by whoever needs one first.
    groups: Mutex<Vec<(Backend, Arc<Group>)>>,
}

/// The servers that hold the same data.
enum Members {
    /// These, in the order in which they are preferred; none if each address is a server on its own.
    Listed(Vec<HostPort>),
    /// Those at all addresses of a host, which are looked up so.
    AllOf(HostPort, Resolver),
}

impl Servers {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// One line names a flag and what is wrong with it.
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

    /// Refuses an address that asks for what the settings don't give.
    ///
    /// # Errors
    /// The text says what to do.
    pub(crate) fn check(&self, backend: &Backend) -> Result<(), String> {
        backend.check_tls(&self.tls)
    }

    /// Refuses members of which the app names none.
    ///
    /// # Errors
    /// The text says what to do.
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

    /// The address as it is connected to: that of a host with many servers stands for each of them.
    pub(super) fn resolved(&self, backend: &Backend) -> Backend {
        match &self.members {
            Members::AllOf(name, _) if *name == backend.address() => backend.known_by_its_name(),
            _ => backend.clone(),
        }
    }

    /// The group that `backend` is a member of, if it is one.
    pub(super) fn group_of(&self, backend: &Backend) -> Option<Arc<Group>> {
        if !self.members.contain(&backend.address()) {
            return None;
        }
        // Whichever member an address names, it means all of them.
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
        Group::start(roster, metrics, notebook)
    }
}

impl Members {
    /// # Errors
    /// One line names the flag and what is wrong with it.
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
                "--mysql-name-servers: nobody is looked up; name the members as --mysql-members dns:host:port".into(),
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

    /// Whether an address stands for all of them.
    fn contain(&self, address: &HostPort) -> bool {
        match self {
            Self::Listed(members) => members.contains(address),
            Self::AllOf(name, _) => name == address,
        }
    }

    /// What they are remembered by: addresses of a host come and go.
    fn names(&self) -> Vec<String> {
        match self {
            Self::Listed(members) => members.iter().map(HostPort::to_string).collect(),
            Self::AllOf(name, _) => vec![MysqlMember::AllOf(name.clone()).to_string()],
        }
    }
}
