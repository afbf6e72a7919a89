//! How MySQL servers are reached, whoever asks: with what TLS, and which of them are members of one group.

use std::sync::Arc;

use parking_lot::Mutex;

use super::group::{Group, Member, Notebook, WriterRecords};
use super::server::Server;
use crate::config::{HostPort, MysqlSettings};
use crate::metrics::Metrics;
use crate::outbound::{Backend, Tls};

/// More groups than this are looked at as long as somebody uses them: a component may vary the user in its addresses.
const MOST_GROUPS: usize = 8;

/// What the settings say of all servers. A reload makes another, which reads the files again.
pub(crate) struct Servers {
    pub(super) tls: Tls,
    /// In the order in which they are preferred; none if each address is a server on its own.
    members: Vec<HostPort>,
    metrics: Arc<Metrics>,
    /// What groups remember. It outlives them and this.
    writers: Arc<WriterRecords>,
    /// The groups, one for each user and database. Written by whoever needs one first.
    groups: Mutex<Vec<(Backend, Arc<Group>)>>,
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
        let members = settings.members.clone();
        for (number, member) in members.iter().enumerate() {
            if members[..number].contains(member) {
                return Err(format!("--mysql-members: `{member}` is named twice"));
            }
        }
        Ok(Self {
            tls: Tls::load(&settings.tls.settings())?,
            members,
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
        let is_named = |backend: &Backend| self.members.contains(&backend.address());
        if self.members.is_empty() || named.is_empty() || named.iter().any(is_named) {
            return Ok(());
        }
        Err(format!(
            "--mysql-members: the app's database is at {}, which is not among them; name one of them there",
            named[0]
        ))
    }

    /// The group that `backend` is a member of, if it is one.
    pub(super) fn group_of(&self, backend: &Backend) -> Option<Arc<Group>> {
        if !self.members.contains(&backend.address()) {
            return None;
        }
        // Whichever member an address names, it means all of them.
        let backend = backend.at(&self.members[0]);
        let mut groups = self.groups.lock();
        if let Some((_, group)) = groups.iter().find(|(known, _)| *known == backend) {
            return Some(group.clone());
        }
        if groups.len() >= MOST_GROUPS {
            groups.retain(|(_, group)| Arc::strong_count(group) > 1);
        }
        let members = self.members.iter().map(|at| {
            // What it answers is small.
            let server = Server::alone(&backend.at(at), &self.tls, 0);
            Member::new(at.clone(), server)
        });
        let names: Vec<String> = self.members.iter().map(HostPort::to_string).collect();
        let database = backend.database().unwrap_or_default();
        let notebook = Notebook::new(self.writers.clone(), database, names.clone());
        let metrics = self.metrics.mysql_group(database, names);
        let group = Group::start(members.collect(), metrics, notebook);
        groups.push((backend, group.clone()));
        Some(group)
    }
}
