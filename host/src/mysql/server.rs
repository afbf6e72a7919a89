//! The server and database that a pool's connections lead to, and what is known of it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};

use super::sql::{self, Effect};
use crate::instance::share::largest_piece;
use crate::outbound::Backend;

/// Prepared statements kept on each connection. Lists of ids come in many lengths, each its own statement, and the
/// server allows 16,382 of them to all its clients (`max_prepared_stmt_count`).
const STATEMENTS_KEPT: usize = 64;

/// Room for what the protocol puts around a row.
const PACKET_EXTRA_BYTES: usize = 64 * 1024;

/// How long the server keeps connections that nobody uses. Only the driver's own pool would need it, which we do not use; it
/// is set so that the driver does not ask the server.
const WAIT_TIMEOUT_SECONDS: usize = 28_800;

/// Selects the texts of the database's views and triggers. A user who may not see a view's text gets an empty one.
const HIDDEN_STATEMENTS: &str = "\
    SELECT ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() \
    UNION ALL \
    SELECT VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()";

/// One database of one server, as one user.
pub(super) struct Server {
    opts: Opts,
    /// Whether a view or a trigger may change a session. Written each time a connection is opened.
    hides_changes: AtomicBool,
}

impl Server {
    /// The server at `backend`, with the options of a connection for a component with this memory limit.
    pub(super) fn new(backend: &Backend, memory_limit_bytes: usize) -> Self {
        let opts = backend
            .mysql_opts()
            .stmt_cache_size(STATEMENTS_KEPT)
            .tcp_nodelay(true)
            // A row larger than this is refused when it begins to arrive.
            .max_allowed_packet(Some(largest_piece(memory_limit_bytes) + PACKET_EXTRA_BYTES))
            .wait_timeout(Some(WAIT_TIMEOUT_SECONDS));
        Self {
            opts: opts.into(),
            hides_changes: AtomicBool::new(false),
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// As [`Server::open`].
    pub(super) async fn connect(&self) -> Result<Conn, mysql_async::Error> {
        Conn::new(self.opts.clone()).await
    }

    /// Opens a connection, and looks whether views or triggers of its database may change its session.
    ///
    /// # Errors
    /// The server can't be reached or refuses the user. The caller limits the time.
    pub(super) async fn open(&self) -> Result<Conn, mysql_async::Error> {
        let mut conn = self.connect().await?;
        let bodies = conn.query::<Option<Vec<u8>>, _>(HIDDEN_STATEMENTS).await;
        let may_change = |body: &Option<Vec<u8>>| {
            let text = body.as_deref().map(String::from_utf8_lossy);
            text.is_none_or(|text| sql::effect(&text) == Effect::ChangesSession)
        };
        let hides_changes = match bodies {
            // Without a database of its own a connection may use the views and triggers of all.
            Ok(bodies) => conn.opts().db_name().is_none() || bodies.iter().any(may_change),
            // The user may not look, so there may be some.
            Err(mysql_async::Error::Server(_)) => true,
            Err(error) => return Err(error),
        };
        if hides_changes && !self.hides_changes.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "For all we know, a view or trigger in the database at {self} may change a session, so each is reset after its use"
            );
        }
        self.hides_changes.store(hides_changes, Ordering::Relaxed);
        Ok(conn)
    }

    /// Whether views and triggers may do more to a session than a statement's text shows.
    pub(super) fn hides_changes(&self) -> bool {
        self.hides_changes.load(Ordering::Relaxed)
    }
}

/// Its address, without user and password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.opts.ip_or_hostname(), self.opts.tcp_port())
    }
}

/// Makes a session as it was when it was opened. MariaDB leaves the default database as `USE` has set it
/// (COM_RESET_CONNECTION), so that is chosen again.
pub(super) async fn reset(conn: &mut Conn) -> bool {
    let Some(name) = conn.opts().db_name().map(|name| name.replace('`', "``")) else {
        return false;
    };
    conn.reset().await.is_ok_and(|done| done)
        && conn.query_drop(format!("USE `{name}`")).await.is_ok()
}
