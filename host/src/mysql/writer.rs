//! The server that writes of a component go to, asked whether it takes them.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use tokio::time::timeout;

use super::server::Server;
use crate::outbound::Backend;

/// Longest wait for a connection and its answers: less than a proxy waits for an answer to its check, or it would find
/// nobody where somebody is there who can't write.
const TIME_LIMIT: Duration = Duration::from_millis(500);

/// Whether others than administrators may write.
const READ_ONLY: &str = "SELECT CAST(@@global.read_only AS CHAR)";

/// What a member of a Galera cluster says of itself. Servers that are none have no such variables, or an empty cluster.
const CLUSTER: &str =
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_cluster_size', 'wsrep_ready')";

/// The server behind an address, with a connection that is only used to ask how it is.
pub(crate) struct Writer {
    server: Server,
    conn: Option<Conn>,
}

impl Writer {
    pub(crate) fn new(backend: &Backend) -> Self {
        Self {
            // What it answers is small.
            server: Server::new(backend, 0),
            conn: None,
        }
    }

    /// Asks the server whether it takes writes.
    ///
    /// # Errors
    /// It can't be reached, does not answer in time, or takes none. The text says which server, and why.
    pub(crate) async fn check(&mut self) -> Result<(), String> {
        let asked = match self.conn.take() {
            // An old connection may have ended with the server that was there before.
            Some(conn) => match self.ask(Some(conn)).await {
                Err(Unfit::Broken(_)) => self.ask(None).await,
                asked => asked,
            },
            None => self.ask(None).await,
        };
        asked.map_err(|unfit| format!("MySQL at {}: {unfit}", self.server))
    }

    async fn ask(&mut self, conn: Option<Conn>) -> Result<(), Unfit> {
        let asked = async {
            let mut conn = match conn {
                Some(conn) => conn,
                None => self.server.connect().await?,
            };
            let read_only = conn.query_first::<String, _>(READ_ONLY).await?;
            let cluster = conn.query::<Row, _>(CLUSTER).await?;
            Ok::<_, Unfit>((conn, read_only, cluster))
        };
        let (conn, read_only, cluster) = timeout(TIME_LIMIT, asked)
            .await
            .map_err(|_| Unfit::Silent)??;
        self.conn = Some(conn);
        let cluster = cluster
            .into_iter()
            .filter_map(|row| mysql_async::from_row_opt::<(String, String)>(row).ok());
        judge(read_only.as_deref(), cluster).map_err(Unfit::TakesNoWrites)
    }
}

/// Why a server is no writer.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("no answer within {TIME_LIMIT:?}")]
    Silent,
    #[error(transparent)]
    Broken(#[from] mysql_async::Error),
    #[error("{0}")]
    TakesNoWrites(&'static str),
}

/// Judges a server by its `read_only` and by the variables of [`CLUSTER`].
fn judge(
    read_only: Option<&str>,
    cluster: impl Iterator<Item = (String, String)>,
) -> Result<(), &'static str> {
    // Some versions of MariaDB have more values than on and off.
    if !read_only.is_none_or(|value| matches!(value, "0" | "OFF")) {
        return Err("it is read-only");
    }
    let (mut is_member, mut is_ready) = (false, true);
    for (name, value) in cluster {
        match name.as_str() {
            "wsrep_cluster_size" => is_member = value != "0",
            "wsrep_ready" => is_ready = value == "ON",
            _ => {}
        }
    }
    if is_member && !is_ready {
        return Err("its cluster has no quorum, or it is not in step with it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(read_only: &str, size: &str, ready: &str) -> Result<(), &'static str> {
        let cluster = [("wsrep_cluster_size", size), ("wsrep_ready", ready)];
        let cluster = cluster.map(|(name, value)| (name.to_owned(), value.to_owned()));
        judge(Some(read_only), cluster.into_iter())
    }

    #[test]
    fn a_server_alone_takes_writes_unless_it_is_read_only() {
        assert_eq!(judge(Some("0"), std::iter::empty()), Ok(()));
        assert_eq!(judged("OFF", "0", "OFF"), Ok(()));
        for read_only in ["1", "ON", "NO_LOCK", "NO_LOCK_NO_ADMIN"] {
            assert_eq!(judged(read_only, "0", "OFF"), Err("it is read-only"));
        }
    }

    #[test]
    fn a_member_of_a_cluster_takes_writes_when_it_is_ready() {
        assert_eq!(judged("0", "3", "ON"), Ok(()));
        let reason = "its cluster has no quorum, or it is not in step with it";
        assert_eq!(judged("0", "1", "OFF"), Err(reason));
    }
}
