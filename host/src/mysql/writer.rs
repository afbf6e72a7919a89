//! Checks whether the servers that components write to take writes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::group::Group;
use super::probe::{Defect, Probe};
use super::servers::Servers;
use crate::outbound::Backend;

/// The longest wait for a connection and its answers. It is shorter than a proxy's wait for its health check. Otherwise
/// the check would time out instead of getting an answer that says what is wrong.
const TIME_LIMIT: Duration = Duration::from_millis(500);

/// What an address stands for.
pub(crate) enum Writer {
    /// A single server, with a connection that is only used for this check.
    Server(Box<Probe>),
    /// A group, whose members are checked anyway.
    Group(Arc<Group>),
}

impl Writer {
    pub(crate) fn new(backend: &Backend, servers: &Servers) -> Self {
        match servers.group_of(backend) {
            Some(group) => Self::Group(group),
            None => {
                // The answers to this check are small, so the connection needs no room for large ones.
                let server = servers.server(backend, 0);
                Self::Server(Box::new(Probe::new(server, TIME_LIMIT)))
            }
        }
    }

    /// Checks whether writes are taken.
    ///
    /// # Errors
    /// No server can be reached, answers in time, or takes writes. The text names the server, and says why.
    pub(crate) async fn check(&mut self) -> Result<(), String> {
        match self {
            Self::Server(probe) => {
                // A server that is used alone is in no group, so one that is in doubt about its group is fit, too.
                let asked = probe.ask().await;
                let said = |defect: Defect| format!("MySQL at {}: {defect}", probe.server);
                asked.map(drop).map_err(said)
            }
            Self::Group(group) => match timeout(TIME_LIMIT, group.writer()).await {
                Ok(found) => found.map(drop).map_err(|reason| format!("MySQL: {reason}")),
                Err(_) => Err(
                    "MySQL: no member has been chosen as the writer yet; try again shortly".into(),
                ),
            },
        }
    }
}
