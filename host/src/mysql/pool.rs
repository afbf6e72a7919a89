//! One pool of connections to one address: those that are idle, and the right to open more.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use parking_lot::Mutex;
use store_server::trace::SharedDescription;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::hint::Hint;
use super::process::ListedConn;
use super::server::Server;
use crate::clients::{Asker, Permit, Permits};
use crate::config::MysqlSettings;
use crate::metrics::PoolMetrics;
use crate::outbound::LogThrottle;

/// A connection that was idle for longer than this is pinged before it is lent.
const PING_AFTER: Duration = Duration::from_secs(1);

/// The longest wait for the answer to a ping or to a reset.
const PING_LIMIT: Duration = Duration::from_millis(500);

/// Why there is no connection. The text has the address without its password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    #[error(
        "no connection to MySQL at {address} became free within {waited:?}: all {size} are in use, or all that one client \
         may have"
    )]
    Exhausted {
        address: String,
        waited: Duration,
        size: u32,
    },
    #[error("MySQL at {address} did not answer within {waited:?}")]
    Silent { address: String, waited: Duration },
    #[error("no MySQL member takes writes at the moment")]
    NoWriter,
    #[error("MySQL at {address}: {source}")]
    Refused {
        address: String,
        source: mysql_async::Error,
    },
}

impl PoolError {
    /// The name of the error in traces.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Exhausted { .. } => "pool exhausted",
            Self::Silent { .. } => "no answer",
            Self::NoWriter => "no writer",
            Self::Refused { .. } => "refused",
        }
    }

    /// The error of the attempt to connect, if there was one.
    pub(crate) fn refusal(&self) -> Option<&mysql_async::Error> {
        match self {
            Self::Refused { source, .. } => Some(source),
            Self::Exhausted { .. } | Self::Silent { .. } | Self::NoWriter => None,
        }
    }
}

/// A clean connection that works, as far as the host knows.
pub(super) enum CleanConn {
    /// It was idle in the pool.
    Rested(ListedConn),
    /// It was just opened.
    Opened(ListedConn),
}

impl CleanConn {
    pub(super) fn into_inner(self) -> ListedConn {
        match self {
            Self::Rested(conn) | Self::Opened(conn) => conn,
        }
    }
}

/// Connections to one address, for one component.
pub(crate) struct Pool {
    pub(super) server: Server,
    pub(super) settings: MysqlSettings,
    permits: Arc<Permits>,
    /// Idle clean connections, the most recently used at the end. Changed by `take_idle`, `keep` and the reaper.
    idle: Mutex<Vec<IdleConnection>>,
    /// The pool of connections to another member, while there is no writer and reads need one.
    pub(super) standby: Mutex<Option<Arc<Self>>>,
    /// Limits the log lines about members that can't answer reads.
    pub(super) standby_trouble: LogThrottle,
    pub(super) metrics: PoolMetrics,
    /// What spans say of the server.
    pub(super) description: SharedDescription,
    /// The runtime that cleans up a connection that is dropped outside of it.
    pub(super) runtime: Handle,
}

/// A clean connection in the pool.
struct IdleConnection {
    conn: ListedConn,
    since: Instant,
    /// The generation that used the connection last.
    generation: u64,
}

impl Pool {
    /// An empty pool of connections to `server`, which are opened on demand.
    pub(crate) fn new(server: Server, settings: MysqlSettings, metrics: PoolMetrics) -> Arc<Self> {
        metrics.size.add(settings.pool_size.into());
        let pool = Arc::new(Self {
            description: server.description.clone(),
            server,
            permits: Permits::shared(settings.pool_size),
            idle: Mutex::default(),
            standby: Mutex::default(),
            standby_trouble: LogThrottle::default(),
            metrics,
            runtime: Handle::current(),
            settings,
        });
        tokio::spawn(reap(Arc::downgrade(&pool), pool.settings.idle));
        pool
    }

    /// Whether no connection is lent and nobody waits for one.
    pub(super) fn is_unused(&self) -> bool {
        self.permits.are_all_free()
    }

    /// Waits for what needs a writer, on behalf of a query with this hint. `None` as soon as the group has no writer,
    /// if the query does not wait for one.
    pub(super) async fn unless_without_writer<T>(
        &self,
        hint: Hint,
        needs_writer: impl Future<Output = T>,
    ) -> Option<T> {
        let group = self.server.group_to_write_to();
        let Some(group) = group.filter(|_| hint != Hint::None) else {
            return Some(needs_writer.await);
        };
        tokio::select! {
            biased;
            () = group.without_writer() => None,
            got = needs_writer => Some(got),
        }
    }

    /// The pool of connections to another member. It has permits of its own: those of this pool may be held by requests
    /// that wait for a writer. `None` if no other member may answer, or if views may do more than read: a query does
    /// not show that.
    pub(super) fn standby(&self) -> Option<Arc<Self>> {
        let group = self.server.group_to_write_to()?;
        if group.standbys().is_empty() || self.server.hides_changes() {
            return None;
        }
        let make = || {
            Self::new(
                self.server.standby(),
                self.settings.clone(),
                self.metrics.clone(),
            )
        };
        Some(self.standby.lock().get_or_insert_with(make).clone())
    }

    /// The rest of the longest wait, if it began at `began`.
    pub(super) fn left_since(&self, began: Instant) -> Duration {
        self.settings.wait.saturating_sub(began.elapsed())
    }

    /// The right to one connection, for a caller whose wait began at `began`.
    ///
    /// # Errors
    /// No connection becomes free in time.
    pub(super) async fn permit(&self, began: Instant, asker: Asker) -> Result<Permit, PoolError> {
        if let Some(permit) = self.permits.take(asker) {
            return Ok(permit);
        }
        let _waiting = self.metrics.wait();
        let permit = self.permits.wait(asker, self.left_since(began)).await;
        permit.ok_or_else(|| {
            self.metrics.timeouts.inc();
            PoolError::Exhausted {
                address: self.server.to_string(),
                waited: self.settings.wait,
                size: self.settings.pool_size,
            }
        })
    }

    /// An idle connection that works, or else a new one. The caller must limit the time.
    ///
    /// # Errors
    /// As [`Pool::open`].
    pub(super) async fn clean_connection(
        &self,
        generation: u64,
    ) -> Result<CleanConn, mysql_async::Error> {
        while let Some(mut idle) = self.take_idle(generation) {
            if !self.server.leads_to(&idle.conn) {
                continue;
            }
            let rested = idle.since.elapsed();
            let is_own = idle.generation == generation;
            if rested < PING_AFTER && is_own {
                return Ok(CleanConn::Rested(idle.conn));
            }
            if rested >= self.settings.idle {
                continue;
            }
            if !is_own && idle.conn.opts().db_name().is_none() {
                // MySQL has no statement that makes a session forget its default database again.
                continue;
            }
            let lives = async {
                if is_own {
                    idle.conn.ping().await.is_ok()
                } else {
                    // The other generation may have changed the session in a way that no statement's text shows.
                    self.server.reset(&mut idle.conn).await
                }
            };
            if timeout(PING_LIMIT, lives).await.unwrap_or(false) {
                return Ok(CleanConn::Rested(idle.conn));
            }
            // The other idle connections lead to the same server, so they are probably dead too.
            self.discard_idle(None);
        }
        self.open().await.map(CleanConn::Opened)
    }

    /// Opens one more connection. The caller must limit the time.
    ///
    /// # Errors
    /// The server can't be reached or refuses the user.
    pub(super) async fn open(&self) -> Result<ListedConn, mysql_async::Error> {
        self.metrics.opened.inc();
        self.server.open().await
    }

    /// Takes an idle connection, if possible one that the same generation used last.
    fn take_idle(&self, generation: u64) -> Option<IdleConnection> {
        let mut idle = self.idle.lock();
        let own = idle.iter().rposition(|idle| idle.generation == generation);
        let taken = match own {
            Some(place) => Some(idle.remove(place)),
            None => idle.pop(),
        };
        self.metrics.idle.sub(taken.is_some().into());
        taken
    }

    /// Puts a clean connection back, which an instance of `generation` used last.
    pub(super) fn keep(&self, conn: ListedConn, generation: u64) {
        if !self.server.leads_to(&conn) {
            // The connection leads to a former writer, so it is closed.
            return;
        }
        self.metrics.idle.inc();
        self.idle.lock().push(IdleConnection {
            conn,
            since: Instant::now(),
            generation,
        });
    }

    /// Closes the idle connections that nobody has used since `since`; all of them if it is `None`.
    pub(super) fn discard_idle(&self, since: Option<Instant>) {
        let mut idle = self.idle.lock();
        let before = idle.len();
        idle.retain(|idle| since.is_some_and(|since| idle.since > since));
        self.metrics.idle.sub((before - idle.len()) as i64);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.metrics.size.sub(self.settings.pool_size.into());
        self.discard_idle(None);
    }
}

/// Closes connections that were idle for too long, until the pool is dropped.
async fn reap(pool: Weak<Pool>, limit: Duration) {
    let pause = (limit / 2).clamp(Duration::from_millis(100), Duration::from_secs(30));
    loop {
        tokio::time::sleep(pause).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.discard_idle(Instant::now().checked_sub(limit));
    }
}
