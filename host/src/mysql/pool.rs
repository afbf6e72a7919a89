//! One pool of connections to one address. A connection and its permit are stored together, so neither can leak alone.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::session::Session;
use crate::config::MysqlSettings;
use crate::metrics::{InUse, PoolMetrics};

/// A connection that rested longer than this is asked whether it still lives before it is given out.
const PING_AFTER: Duration = Duration::from_secs(1);

/// Longest wait for the answer to that question.
const PING_LIMIT: Duration = Duration::from_millis(500);

/// The user may not use the database, is unknown or gave a wrong password, or the database is unknown.
const REFUSALS: [u16; 4] = [1044, 1045, 1049, 1698];

/// Prepared statements kept on each connection. Lists of ids come in many lengths, each its own statement, and the
/// server allows 16,382 of them to all its clients (`max_prepared_stmt_count`).
const STATEMENTS_KEPT: usize = 64;

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
    /// Where clean-up runs when a connection is dropped outside the runtime.
    runtime: Handle,
}

struct Idle {
    conn: Conn,
    since: Instant,
}

impl Pool {
    /// An empty pool; connections are opened when asked for.
    pub(crate) fn new(opts: Opts, settings: MysqlSettings, metrics: PoolMetrics) -> Arc<Self> {
        metrics.size.add(settings.pool_size.into());
        let opts = OptsBuilder::from_opts(opts)
            .stmt_cache_size(STATEMENTS_KEPT)
            .tcp_nodelay(true)
            // A socket would skip the address that `allowed_outbound_hosts` was checked for.
            .prefer_socket(false);
        let pool = Arc::new(Self {
            opts: opts.into(),
            permits: Arc::new(Semaphore::new(settings.pool_size as usize)),
            idle: Mutex::default(),
            metrics,
            runtime: Handle::current(),
            settings,
        });
        tokio::spawn(reap(Arc::downgrade(&pool), pool.settings.idle));
        pool
    }

    /// Gives out a clean connection, a kept one if there is one.
    ///
    /// # Errors
    /// None is free, or none can be opened, within the wait limit.
    pub(crate) async fn checkout(self: &Arc<Self>) -> Result<PooledConnection, PoolError> {
        let started = Instant::now();
        let permit = self.permit().await?;
        let left = self.settings.wait.saturating_sub(started.elapsed());
        let conn = match timeout(left, self.live_connection()).await {
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

    async fn live_connection(&self) -> Result<Conn, mysql_async::Error> {
        while let Some(mut idle) = self.take_idle() {
            let rested = idle.since.elapsed();
            if rested < PING_AFTER {
                return Ok(idle.conn);
            }
            if rested >= self.settings.idle {
                continue;
            }
            match timeout(PING_LIMIT, idle.conn.ping()).await {
                Ok(Ok(())) => return Ok(idle.conn),
                // The others rest on the same server.
                Ok(Err(_)) | Err(_) => self.discard_idle(None),
            }
        }
        self.metrics.opened.inc();
        Conn::new(self.opts.clone()).await
    }

    fn take_idle(&self) -> Option<Idle> {
        let taken = self.idle().pop();
        self.metrics.idle.sub(taken.is_some().into());
        taken
    }

    fn keep(&self, conn: Conn) {
        self.metrics.idle.inc();
        self.idle().push(Idle {
            conn,
            since: Instant::now(),
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
    /// Takes note of a connection that failed: others opened before a restart of the server would fail the same way.
    pub(super) fn failed(&mut self) {
        self.broken = true;
        self.pool.discard_idle(None);
    }

    /// Counts one statement, and says how long to wait for its answer.
    pub(super) fn start_statement(&self) -> Duration {
        self.pool.metrics.statements.inc();
        self.pool.settings.statement
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
        if self.broken {
            pool.runtime.clone().spawn(close(conn, pool, lease));
        } else if self.session.is_clean() {
            pool.keep(conn);
        } else {
            pool.runtime
                .clone()
                .spawn(clean(conn, self.session, pool, lease));
        }
    }
}

/// Closes a connection that is of no more use. The permit is held meanwhile, but not for longer than the wait limit: a
/// server that is busy with an abandoned statement notices late that nobody waits for it.
async fn close(conn: Conn, pool: Arc<Pool>, lease: Lease) {
    _ = timeout(pool.settings.wait, conn.disconnect()).await;
    drop(lease);
}

/// Rolls back what is open and undoes what was changed. The permit is held until then, so that a pool of ten lends no
/// eleventh.
async fn clean(mut conn: Conn, session: Session, pool: Arc<Pool>, lease: Lease) {
    let cleaned = timeout(pool.settings.wait, async {
        if session.changed {
            // Costs the prepared statements, which is why it is not done each time.
            return conn.reset().await.is_ok_and(|done| done);
        }
        conn.query_drop("ROLLBACK").await.is_ok()
            && conn.query_drop("SET autocommit=1").await.is_ok()
    });
    if cleaned.await.unwrap_or(false) {
        pool.keep(conn);
    }
    drop(lease);
}
