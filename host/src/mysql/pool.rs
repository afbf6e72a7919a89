//! One pool of connections to one address. A connection and its permit are stored together, so neither can leak alone.

use std::io::ErrorKind;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, IoError, Opts};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::session::Session;
use super::sql::{self, Effect};
use crate::config::MysqlSettings;
use crate::instance::share::largest_piece;
use crate::metrics::{InUse, PoolMetrics};
use crate::outbound::Backend;

/// A connection that rested longer than this is asked whether it still lives before it is given out.
const PING_AFTER: Duration = Duration::from_secs(1);

/// Longest wait for the answer to that question.
const PING_LIMIT: Duration = Duration::from_millis(500);

/// The user may not use the database, is unknown or gave a wrong password, or the database is unknown.
const REFUSALS: [u16; 4] = [1044, 1045, 1049, 1698];

/// Prepared statements kept on each connection. Lists of ids come in many lengths, each its own statement, and the
/// server allows 16,382 of them to all its clients (`max_prepared_stmt_count`).
const STATEMENTS_KEPT: usize = 64;

/// The server goes down, ended the connection, killed it, or closed it because it rested for too long.
const CLOSED: [u16; 6] = [1053, 1079, 1152, 1184, 1927, 4031];

/// How long a server may take to notice by itself that a connection is closed.
const ABANDONED: Duration = Duration::from_millis(100);

/// What the protocol puts around a row.
const PACKET_EXTRA_BYTES: usize = 64 * 1024;

/// How long a server may keep connections that nobody uses, as far as the driver's own pool is concerned, which is not
/// used. Given so that it does not ask the server.
const WAIT_TIMEOUT_SECONDS: usize = 28_800;

/// What views and triggers of the database do. Who may not see the text of a view gets an empty one.
const HIDDEN_STATEMENTS: &str = "\
    SELECT ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() \
    UNION ALL \
    SELECT VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()";

/// Why there is no connection. The address is told without its password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    #[error(
        "no connection to MySQL at {address} became free within {waited:?}: all {size} are in use"
    )]
    Exhausted {
        address: String,
        waited: Duration,
        size: u32,
    },
    #[error("MySQL at {address} did not answer within {waited:?}")]
    Silent { address: String, waited: Duration },
    #[error("MySQL at {address}: {source}")]
    Refused {
        address: String,
        source: mysql_async::Error,
    },
}

impl PoolError {
    /// Whether the server answered and turned the user or the database down: waiting does not help.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Refused {
                source: mysql_async::Error::Server(error),
                ..
            } => REFUSALS.contains(&error.code),
            _ => false,
        }
    }
}

/// Connections to one address, for one component.
pub(crate) struct Pool {
    opts: Opts,
    settings: MysqlSettings,
    permits: Arc<Semaphore>,
    /// Clean connections, the one used last at the end. Written by checkout, check-in and the reaper.
    idle: Mutex<Vec<Idle>>,
    metrics: PoolMetrics,
    /// Whether a view or a trigger may change a session, as the connection that was opened last found it.
    hides_changes: AtomicBool,
    /// Where clean-up runs when a connection is dropped outside the runtime.
    runtime: Handle,
}

struct Idle {
    conn: Conn,
    since: Instant,
    /// Which used it last.
    generation: u64,
}

impl Pool {
    /// An empty pool for a component with this memory limit; connections are opened when asked for.
    pub(crate) fn new(
        backend: &Backend,
        settings: MysqlSettings,
        memory_limit_bytes: usize,
        metrics: PoolMetrics,
    ) -> Arc<Self> {
        metrics.size.add(settings.pool_size.into());
        let opts = backend
            .mysql_opts()
            .stmt_cache_size(STATEMENTS_KEPT)
            .tcp_nodelay(true)
            // A row larger than this is refused when it begins to arrive.
            .max_allowed_packet(Some(largest_piece(memory_limit_bytes) + PACKET_EXTRA_BYTES))
            .wait_timeout(Some(WAIT_TIMEOUT_SECONDS));
        let pool = Arc::new(Self {
            opts: opts.into(),
            permits: Arc::new(Semaphore::new(settings.pool_size as usize)),
            idle: Mutex::default(),
            metrics,
            hides_changes: AtomicBool::new(false),
            runtime: Handle::current(),
            settings,
        });
        tokio::spawn(reap(Arc::downgrade(&pool), pool.settings.idle));
        pool
    }

    /// Whether nobody holds a connection of it or waits for one.
    pub(super) fn is_unused(&self) -> bool {
        self.permits.available_permits() >= self.settings.pool_size as usize
    }

    /// Gives out a clean connection to an instance of `generation`, a kept one if there is one.
    ///
    /// # Errors
    /// None is free, or none can be opened, within the wait limit.
    pub(crate) async fn checkout(
        self: &Arc<Self>,
        generation: u64,
    ) -> Result<PooledConnection, PoolError> {
        let started = Instant::now();
        let permit = self.permit().await?;
        let left = self.settings.wait.saturating_sub(started.elapsed());
        let conn = match timeout(left, self.live_connection(generation)).await {
            Ok(conn) => conn.map_err(|source| PoolError::Refused {
                address: self.address(),
                source,
            })?,
            Err(_) => {
                return Err(PoolError::Silent {
                    address: self.address(),
                    waited: self.settings.wait,
                });
            }
        };
        self.metrics
            .wait_seconds
            .observe(started.elapsed().as_secs_f64());
        Ok(PooledConnection {
            conn: Some(conn),
            session: Session::default(),
            broken: false,
            is_untouched: true,
            is_closed: false,
            generation,
            lease: Some(Lease {
                _permit: permit,
                _in_use: self.metrics.enter(),
            }),
            pool: self.clone(),
        })
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, PoolError> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = self.metrics.wait();
        match timeout(self.settings.wait, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                self.metrics.timeouts.inc();
                Err(PoolError::Exhausted {
                    address: self.address(),
                    waited: self.settings.wait,
                    size: self.settings.pool_size,
                })
            }
        }
    }

    async fn live_connection(&self, generation: u64) -> Result<Conn, mysql_async::Error> {
        while let Some(mut idle) = self.take_idle(generation) {
            let rested = idle.since.elapsed();
            let is_own = idle.generation == generation;
            if rested < PING_AFTER && is_own {
                return Ok(idle.conn);
            }
            if rested >= self.settings.idle {
                continue;
            }
            if !is_own && idle.conn.opts().db_name().is_none() {
                // There is no way back to having none.
                continue;
            }
            let lives = async {
                if is_own {
                    idle.conn.ping().await.is_ok()
                } else {
                    // Whatever the other generation left behind, if only out of sight of those who look at statements.
                    reset(&mut idle.conn).await
                }
            };
            if timeout(PING_LIMIT, lives).await.unwrap_or(false) {
                return Ok(idle.conn);
            }
            // The others rest on the same server.
            self.discard_idle(None);
        }
        self.open().await
    }

    async fn open(&self) -> Result<Conn, mysql_async::Error> {
        self.metrics.opened.inc();
        let mut conn = Conn::new(self.opts.clone()).await?;
        let bodies = conn.query::<Option<Vec<u8>>, _>(HIDDEN_STATEMENTS).await;
        let may_change = |body: &Option<Vec<u8>>| {
            let text = body.as_deref().map(String::from_utf8_lossy);
            text.is_none_or(|text| sql::effect(&text) == Effect::ChangesSession)
        };
        let hides_changes = match bodies {
            // Without a database there are none to look at, and all to use.
            Ok(bodies) => conn.opts().db_name().is_none() || bodies.iter().any(may_change),
            // Who may not ask does not know.
            Err(mysql_async::Error::Server(_)) => true,
            Err(error) => return Err(error),
        };
        if hides_changes && !self.hides_changes.swap(true, Ordering::Relaxed) {
            let address = self.address();
            tracing::warn!(
                "For all we know, a view or trigger in the database at {address} may change a session, so each is reset after its use"
            );
        }
        self.hides_changes.store(hides_changes, Ordering::Relaxed);
        Ok(conn)
    }

    /// A resting connection, one that the same generation used last if there is one.
    fn take_idle(&self, generation: u64) -> Option<Idle> {
        let mut idle = self.idle();
        let own = idle.iter().rposition(|idle| idle.generation == generation);
        let taken = match own {
            Some(place) => Some(idle.remove(place)),
            None => idle.pop(),
        };
        self.metrics.idle.sub(taken.is_some().into());
        taken
    }

    fn keep(&self, conn: Conn, generation: u64) {
        self.metrics.idle.inc();
        self.idle().push(Idle {
            conn,
            since: Instant::now(),
            generation,
        });
    }

    /// Drops the connections that rested since before `since`, or all of them.
    fn discard_idle(&self, since: Option<Instant>) {
        let mut idle = self.idle();
        let before = idle.len();
        idle.retain(|idle| since.is_some_and(|since| idle.since > since));
        self.metrics.idle.sub((before - idle.len()) as i64);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // A panic elsewhere leaves the list itself whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self) -> String {
        format!("{}:{}", self.opts.ip_or_hostname(), self.opts.tcp_port())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.metrics.size.sub(self.settings.pool_size.into());
        self.discard_idle(None);
    }
}

/// Closes connections that nobody needed for a while; ends with its pool.
async fn reap(pool: Weak<Pool>, limit: Duration) {
    let pause = (limit / 2).clamp(Duration::from_millis(100), Duration::from_secs(30));
    loop {
        tokio::time::sleep(pause).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.discard_idle(Instant::now().checked_sub(limit));
    }
}

/// A connection out of the pool. Dropping it gives it back: clean at once, otherwise after a clean-up in the background.
pub(crate) struct PooledConnection {
    /// Taken by drop only.
    conn: Option<Conn>,
    pub(super) session: Session,
    /// Set while a statement runs, and left set if it is abandoned or the connection fails.
    pub(super) broken: bool,
    /// No statement was run since it was taken out of the pool.
    is_untouched: bool,
    /// The server has closed it.
    is_closed: bool,
    generation: u64,
    /// Taken by drop only.
    lease: Option<Lease>,
    pool: Arc<Pool>,
}

/// What a connection in use holds of its pool.
struct Lease {
    _permit: OwnedSemaphorePermit,
    _in_use: InUse,
}

impl PooledConnection {
    /// Takes note of a connection that can't be used any more. If it was closed, others opened before a restart of the
    /// server were closed too.
    pub(super) fn fail(&mut self, error: &mysql_async::Error) {
        self.broken = true;
        if says_closed(error) {
            self.is_closed = true;
            self.pool.discard_idle(None);
        }
    }

    /// Counts one statement. Whether it is the first since the connection was taken out of the pool.
    pub(super) fn start_statement(&mut self) -> bool {
        self.pool.metrics.statements.inc();
        std::mem::take(&mut self.is_untouched)
    }

    /// What a statement does to its session, as far as its text and the database's views and triggers tell.
    pub(super) fn effect(&self, statement: &str) -> Effect {
        match sql::effect(statement) {
            Effect::Read | Effect::Write if self.pool.hides_changes.load(Ordering::Relaxed) => {
                Effect::ChangesSession
            }
            effect => effect,
        }
    }

    /// The longest wait for an answer.
    pub(super) fn statement_limit(&self) -> Duration {
        self.pool.settings.statement
    }

    /// Opens another connection in the place of this one, which was closed while nobody used it.
    ///
    /// # Errors
    /// None can be opened within the wait limit.
    pub(super) async fn renew(&mut self) -> mysql_async::Result<()> {
        self.pool.discard_idle(None);
        let silent = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        let opened = timeout(self.pool.settings.wait, self.pool.open()).await;
        self.conn = Some(opened.map_err(|_| silent())??);
        self.pool.metrics.repeated.inc();
        (self.broken, self.is_closed) = (true, false);
        Ok(())
    }
}

impl Deref for PooledConnection {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.conn.as_ref().expect("only drop takes the connection")
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut Conn {
        self.conn.as_mut().expect("only drop takes the connection")
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let (Some(conn), Some(lease)) = (self.conn.take(), self.lease.take()) else {
            return;
        };
        let pool = self.pool.clone();
        if self.is_closed {
            drop(lease);
        } else if self.broken {
            pool.runtime.clone().spawn(close(conn, pool, lease));
        } else if self.session.is_clean() {
            pool.keep(conn, self.generation);
        } else {
            let clean = clean(conn, self.session, self.generation, pool.clone(), lease);
            pool.runtime.spawn(clean);
        }
    }
}

/// Closes a connection that is of no more use. The permit is held meanwhile, but not for longer than the wait limit. A
/// server that is busy with an abandoned statement would notice late that nobody waits for it, and hold its locks until
/// then, so it is told.
async fn close(conn: Conn, pool: Arc<Pool>, lease: Lease) {
    let (id, limit) = (conn.id(), pool.settings.wait);
    // True as well of one that was left in the middle of a statement: the driver won't speak to it again.
    let is_silent = conn.is_disconnected();
    if is_silent || timeout(ABANDONED, conn.disconnect()).await.is_err() {
        let kill = async {
            let mut other = pool.open().await?;
            // An error says that it is gone already.
            _ = other.query_drop(format!("KILL {id}")).await;
            other.disconnect().await
        };
        _ = timeout(limit, kill).await;
    }
    drop(lease);
}

/// Whether an error says that the connection was closed by the server, or lost.
pub(super) fn says_closed(error: &mysql_async::Error) -> bool {
    match error {
        mysql_async::Error::Server(error) => CLOSED.contains(&error.code),
        mysql_async::Error::Driver(DriverError::ConnectionClosed) => true,
        mysql_async::Error::Io(IoError::Io(error)) => matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::NotConnected
        ),
        _ => false,
    }
}

/// Makes a session as it was when it was opened. MariaDB leaves the default database as `USE` has set it
/// (COM_RESET_CONNECTION), so that is chosen again.
async fn reset(conn: &mut Conn) -> bool {
    let Some(name) = conn.opts().db_name().map(|name| name.replace('`', "``")) else {
        return false;
    };
    conn.reset().await.is_ok_and(|done| done)
        && conn.query_drop(format!("USE `{name}`")).await.is_ok()
}

/// Rolls back what is open and undoes what was changed. The permit is held until then, so that a pool of ten lends no
/// eleventh.
async fn clean(mut conn: Conn, session: Session, generation: u64, pool: Arc<Pool>, lease: Lease) {
    let cleaned = timeout(pool.settings.wait, async {
        if session.changed {
            // Costs the prepared statements, which is why it is not done each time.
            return reset(&mut conn).await;
        }
        conn.query_drop("ROLLBACK").await.is_ok()
            && conn.query_drop("SET autocommit=1").await.is_ok()
    });
    if cleaned.await.unwrap_or(false) {
        pool.keep(conn, generation);
    }
    drop(lease);
}
