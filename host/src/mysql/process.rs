//! A connection as its server lists it, so that it can be killed. The process number alone is not enough: on another
//! server behind a balancer, or on the same server after a restart, it may be another connection's.

use std::ops::{Deref, DerefMut};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// Selects the address of this end of the connection, as the server sees it.
const OWN_HOST: &str = "SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()";

/// Checks whether the server has a process with this number that was begun from this address.
const IS_LISTED: &str = "SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = ? AND HOST = ?";

/// The server's process for one connection.
pub(super) struct Process {
    id: u32,
    /// The address of our end. `None` if the server does not show it, as may happen behind a proxy with connections of
    /// its own.
    host: Option<Vec<u8>>,
}

impl Process {
    /// Kills the process over another connection. Does nothing if that connection leads to a server without the
    /// process, or if the process has ended.
    ///
    /// # Errors
    /// The server doesn't answer.
    pub(super) async fn kill(&self, over: &mut Conn) -> mysql_async::Result<()> {
        let Some(host) = &self.host else {
            return Ok(());
        };
        let listed: Option<u8> = over.exec_first(IS_LISTED, (self.id, host)).await?;
        if listed.is_some() {
            // `KILL` fails if the process has just ended.
            _ = over.query_drop(format!("KILL {}", self.id)).await;
        }
        Ok(())
    }
}

/// A connection, with its process on the server.
pub(super) struct ListedConn {
    conn: Conn,
    process: Process,
}

impl ListedConn {
    /// Asks the server for the process of `conn`.
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

    /// Separates the connection from its process.
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
