//! Asks the server that a component writes to whether it takes writes.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use tokio::time::timeout;

use super::server::Server;
use crate::outbound::Backend;

/// Longest wait for a connection and its answers. It is shorter than a proxy waits for its health check, which would
/// otherwise get no answer instead of one that says what is wrong.
const TIME_LIMIT: Duration = Duration::from_millis(500);

/// Asks whether others than administrators may write, and whether the server is to be a member of a Galera cluster. MySQL
/// has no variable for the latter.
const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'wsrep_on')";

/// Asks whether a member is in step with its cluster, and the cluster has a quorum.
const CLUSTER: &str = "SHOW GLOBAL STATUS WHERE Variable_name = 'wsrep_ready'";

/// The server behind an address, with a connection that is only used for [`Writer::check`].
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
                Err(Defect::Broken(_)) => self.ask(None).await,
                asked => asked,
            },
            None => self.ask(None).await,
        };
        asked.map_err(|defect| format!("MySQL at {}: {defect}", self.server))
    }

    async fn ask(&mut self, conn: Option<Conn>) -> Result<(), Defect> {
        let asked = async {
            let mut conn = match conn {
                Some(conn) => conn,
                None => self.server.connect().await?,
            };
            let mut found = conn.query::<Row, _>(VARIABLES).await?;
            found.extend(conn.query::<Row, _>(CLUSTER).await?);
            Ok::<_, Defect>((conn, found))
        };
        let (conn, found) = timeout(TIME_LIMIT, asked)
            .await
            .map_err(|_| Defect::Silent)??;
        self.conn = Some(conn);
        let found = found.into_iter();
        judge(found.filter_map(|row| mysql_async::from_row_opt(row).ok()))
            .map_err(Defect::TakesNoWrites)
    }
}

/// Why a server takes no writes.
#[derive(Debug, thiserror::Error)]
enum Defect {
    #[error("no answer within {TIME_LIMIT:?}")]
    Silent,
    #[error(transparent)]
    Broken(#[from] mysql_async::Error),
    #[error("{0}")]
    TakesNoWrites(&'static str),
}

/// Judges a server by what it says to [`VARIABLES`] and [`CLUSTER`].
fn judge(found: impl Iterator<Item = (String, String)>) -> Result<(), &'static str> {
    let (mut is_member, mut is_ready) = (false, true);
    for (name, value) in found {
        match (name.as_str(), value.as_str()) {
            ("read_only", "OFF") => {}
            // Some versions of MariaDB have more values than on and off.
            ("read_only", _) => return Err("it is read-only"),
            ("wsrep_on", value) => is_member = value == "ON",
            ("wsrep_ready", value) => is_ready = value == "ON",
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

    fn judged<const N: usize>(found: [(&str, &str); N]) -> Result<(), &'static str> {
        let found = found.map(|(name, value)| (name.to_owned(), value.to_owned()));
        judge(found.into_iter())
    }

    #[test]
    fn a_server_alone_takes_writes_unless_it_is_read_only() {
        assert_eq!(judged([("read_only", "OFF")]), Ok(()));
        for read_only in ["ON", "NO_LOCK", "NO_LOCK_NO_ADMIN"] {
            let reason = "it is read-only";
            assert_eq!(judged([("read_only", read_only)]), Err(reason));
        }
        // MariaDB that is in no cluster.
        let alone = [
            ("read_only", "OFF"),
            ("wsrep_on", "OFF"),
            ("wsrep_ready", "OFF"),
        ];
        assert_eq!(judged(alone), Ok(()));
    }

    #[test]
    fn a_member_of_a_cluster_takes_writes_when_it_is_ready() {
        let member = |ready| {
            [
                ("read_only", "OFF"),
                ("wsrep_on", "ON"),
                ("wsrep_ready", ready),
            ]
        };
        assert_eq!(judged(member("ON")), Ok(()));
        let reason = "its cluster has no quorum, or it is not in step with it";
        assert_eq!(judged(member("OFF")), Err(reason));
    }
}
