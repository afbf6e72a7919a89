//! Asks a server whether it takes writes, over a connection that is kept for this alone.

use std::time::Duration;

use mysql_async::Conn;
use tokio::time::timeout;

use super::fitness::{self, Fitness, ServerVariables};
use super::server::Server;

/// Error codes for too many connections, in all or of this user. A server with too much to do is not a dead one.
const CROWDED: [u16; 3] = [1040, 1203, 1226];

/// Why a server can't be the writer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Defect {
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error(transparent)]
    Broken(#[from] mysql_async::Error),
    #[error("{0}")]
    TakesNoWrites(&'static str),
}

/// A server, and the connection over which it is checked.
pub(crate) struct Probe {
    pub(super) server: Server,
    conn: Option<Conn>,
    limit: Duration,
    /// The last answer; empty if there was none.
    last: ServerVariables,
}

impl Probe {
    /// A probe that waits for at most `limit` each time.
    pub(super) fn new(server: Server, limit: Duration) -> Self {
        let conn = None;
        Self {
            server,
            conn,
            limit,
            last: ServerVariables::new(),
        }
    }

    /// Checks whether the server takes writes.
    ///
    /// # Errors
    /// The server takes no writes, can't be reached or does not answer in time.
    pub(super) async fn ask(&mut self) -> Result<Fitness, Defect> {
        self.last.clear();
        let had_one = self.conn.is_some();
        self.last = match self.on_connection(fitness::ask).await {
            // The old connection may have ended with an earlier process of the server.
            Err(Defect::Broken(_)) if had_one => self.on_connection(fitness::ask).await?,
            found => found?,
        };
        fitness::judge(&self.last).map_err(Defect::TakesNoWrites)
    }

    /// Whether the last answer came from a member that is in step with its Galera cluster or its Group Replication. Such
    /// a member may be read-only.
    pub(super) fn is_in_step(&self) -> bool {
        fitness::is_in_step(&self.last)
    }

    /// Whether the user may not see how far the server lags, so that it never counts as in step.
    pub(super) fn hides_backlog(&self) -> bool {
        fitness::hides_backlog(&self.last)
    }

    /// Runs `ask` on the connection, which is opened if there is none, and closed if `ask` fails.
    pub(super) async fn on_connection<T>(
        &mut self,
        ask: impl AsyncFnOnce(&mut Conn) -> mysql_async::Result<T>,
    ) -> Result<T, Defect> {
        let limit = self.limit;
        let asked = timeout(limit, async { ask(self.connection().await?).await });
        let answer = match asked.await {
            Ok(Err(mysql_async::Error::Server(error))) if CROWDED.contains(&error.code) => {
                Err(Defect::Silent(limit))
            }
            Ok(answer) => answer.map_err(Defect::Broken),
            Err(_) => Err(Defect::Silent(limit)),
        };
        if answer.is_err() {
            self.conn = None;
        }
        answer
    }

    /// The connection; a new one if there is none. There is no time limit here.
    pub(super) async fn connection(&mut self) -> mysql_async::Result<&mut Conn> {
        if self.conn.is_none() {
            self.conn = Some(self.server.connect().await?);
        }
        Ok(self.conn.as_mut().expect("it was made in the line before"))
    }

    /// Closes the connection.
    pub(super) fn hang_up(&mut self) {
        self.conn = None;
    }
}
