//! Asks where a component's writes go whether they are taken.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::group::Group;
use super::probe::{Defect, Probe};
use super::server::Server;
use super::servers::Servers;
use crate::outbound::Backend;

/// Longest wait for a connection and its answers. It is shorter than a proxy waits for its health check, which would
/// otherwise get no answer instead of one that says what is wrong.
const TIME_LIMIT: Duration = Duration::from_millis(500);

/// What is behind an address.
pub(crate) enum Writer {
    /// A server, with a connection that is only used to ask how it is.
    Server(Box<Probe>),
    /// Members that are looked at anyway.
    Group(Arc<Group>),
}

impl Writer {
    pub(crate) fn new(backend: &Backend, servers: &Servers) -> Self {
        match servers.group_of(backend) {
            Some(group) => Self::Group(group),
            None => {
                // What it answers is small.
                let server = Server::new(backend, servers, 0);
                Self::Server(Box::new(Probe::new(server, TIME_LIMIT)))
            }
        }
    }

    /// Asks whether writes are taken.
    ///
    /// # Errors
    /// No server can be reached, answers in time, or takes any. The text says which server, and why.
    pub(crate) async fn check(&mut self) -> Result<(), String> {
        match self {
            Self::Server(probe) => {
                let asked = probe.ask().await;
                let said = |defect: Defect| format!("MySQL at {}: {defect}", probe.server);
                asked.map(drop).map_err(said)
            }
            Self::Group(group) => match timeout(TIME_LIMIT, group.writer()).await {
                Ok(found) => found.map(drop).map_err(|reason| format!("MySQL: {reason}")),
                Err(_) => Err("MySQL: its members are about to agree on a writer".into()),
            },
        }
    }
}
