//! A connection as its server lists it: by that it is found again, and by nothing less. Its number alone may be another's
//! on another server, behind a balancer, or on the same one after a restart.

use std::ops::{Deref, DerefMut};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// Selects where this end of the connection is, as the server sees it.
const OWN_HOST: &str = "SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()";

/// Looks whether a server has the process of this number that this client began.
const IS_LISTED: &str = "SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = ? AND HOST = ?";

/// A server's process for one connection.
pub(super) struct Process {
    id: u32,
    /// None if the server does not say, as one behind a proxy with connections of its own may not.
    host: Option<Vec<u8>>,
}

impl Process {
    /// Kills it over another connection. Does nothing if that leads to a server without it, as if it has ended already.
    ///
    /// # Errors
    /// The server doesn't answer.
    pub(super) async fn kill(&self, over: &mut Conn) -> mysql_async::Result<()> {
        let Some(host) = &self.host else {
            return Ok(());
        };
        let listed: Option<u8> = over.exec_first(IS_LISTED, (self.id, host)).await?;
        if listed.is_some() {
            // It fails if the process has just ended.
            _ = over.query_drop(format!("KILL {}", self.id)).await;
        }
        Ok(())
    }
}

/// A connection, and what its server calls it.
pub(super) struct ListedConn {
    conn: Conn,
    process: Process,
}

impl ListedConn {
    /// Asks the server.
    ///
    /// # Errors
    /// The connection fails.
    pub(super) async fn new(mut conn: Conn) -> mysql_async::Result<Self> {
        let host = match conn.query_first(OWN_HOST).await {
            Ok(host) => host,
            Err(mysql_async::Error::Server(_)) => None,
            Err(error) => return Err(error),
        };
        let id = conn.id();
        Ok(Self {
            conn,
            process: Process { id, host },
        })
    }

    /// The connection, and its process apart.
    pub(super) fn into_parts(self) -> (Conn, Process) {
        (self.conn, self.process)
    }
}

impl Deref for ListedConn {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for ListedConn {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}
