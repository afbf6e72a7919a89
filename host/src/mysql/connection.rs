//! A connection on loan from a pool, and how it gets back there: as it is if it is clean, otherwise after a clean-up in
//! the background, or not at all. `checkout` takes it from the pool.

mod checkout;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use store_server::trace::{Span, Trace};
use tokio::time::timeout;

use super::answer_limit::AnswerLimit;
use super::errors::says_closed;
use super::hint::Hint;
use super::pool::{CleanConn, Pool};
use super::process::ListedConn;
use super::session::Session;
use super::sql::{self, Effect};
use super::statement_span;
use crate::clients::{Asker, Permit};
use crate::metrics::GaugeGuard;

/// How long a server may take to notice by itself that the host has closed a connection.
const ABANDONED: Duration = Duration::from_millis(100);

/// A connection that belongs to a pool. Dropping it returns it to the pool: at once if it is clean, otherwise after a
/// clean-up in the background.
pub(crate) struct PooledConnection {
    /// `None` until [`PooledConnection::connect`], after a [`PooledConnection::renew`] that failed, and while this is
    /// dropped.
    conn: Option<ListedConn>,
    pub(super) session: Session,
    /// True while a statement runs. It stays true if the statement is abandoned or the connection fails.
    pub(super) broken: bool,
    /// Whether no statement has run since the connection was taken out of the pool.
    is_untouched: bool,
    /// Whether the connection was idle in the pool before it was lent.
    has_rested: bool,
    /// Whether the server has closed the connection.
    is_closed: bool,
    generation: u64,
    asker: Asker,
    /// The hint of the present statement. Set by the borrower.
    pub(super) hint: Hint,
    /// The trace that the connection's statements belong to. Set by the borrower.
    pub(super) trace: Trace,
    /// Whether the current transaction has been recorded in its trace.
    is_transaction_traced: bool,
    /// `None` as long as `conn` is.
    loan: Option<Loan>,
    pool: Arc<Pool>,
}

/// What a lent connection takes from its pool until it is returned or closed.
struct Loan {
    _permit: Permit,
    _in_use: GaugeGuard,
}

impl PooledConnection {
    /// A connection for an instance of `generation` that works for `asker`. It is yet to be
    /// [connected](Self::connect).
    pub(super) fn of(pool: Arc<Pool>, generation: u64, asker: Asker, trace: Trace) -> Self {
        Self {
            has_rested: false,
            conn: None,
            session: Session::default(),
            broken: false,
            is_untouched: true,
            is_closed: false,
            generation,
            asker,
            hint: Hint::None,
            trace,
            is_transaction_traced: false,
            loan: None,
            pool,
        }
    }

    /// Lends a clean connection to an instance of `generation` that works for `asker`.
    fn lend(conn: CleanConn, generation: u64, asker: Asker, loan: Loan, pool: Arc<Pool>) -> Self {
        let mut lent = Self::of(pool, generation, asker, Trace::off());
        lent.has_rested = matches!(conn, CleanConn::Rested(_));
        (lent.conn, lent.loan) = (Some(conn.into_inner()), Some(loan));
        lent
    }

    /// Whether the server to connect to depends on the first statement.
    pub(super) fn connects_late(&self) -> bool {
        self.pool.server.group_to_write_to().is_some()
    }

    /// Whether the connection leads to a member that is not the writer, so that what is read may be stale.
    pub(super) fn is_stale(&self) -> bool {
        self.pool.server.is_standby()
    }

    /// As [`PooledConnection::is_stale`], for a query that is about to be sent: a stale read is counted.
    pub(super) fn reads_stale(&self) -> bool {
        let is_stale = self.is_stale();
        self.pool.metrics.stale_reads.inc_by(is_stale.into());
        is_stale
    }

    /// Records that the connection can't be used any more. If the server has closed it, as a restart does, the idle
    /// connections are discarded too.
    pub(super) fn fail(&mut self, error: &mysql_async::Error) {
        self.broken = true;
        if says_closed(error) {
            self.is_closed = true;
            self.pool.discard_idle(None);
            self.pool.server.doubt();
        }
    }

    /// Whether the next statement is the first of a traced transaction. Returns `true` only once.
    pub(super) fn begins_traced_transaction(&mut self) -> bool {
        self.trace.is_on()
            && self.session.in_transaction
            && !std::mem::replace(&mut self.is_transaction_traced, true)
    }

    /// Whether the connection was idle before it was lent, so that the server may have closed it meanwhile.
    pub(super) fn has_rested(&self) -> bool {
        self.has_rested
    }

    /// Whether the connection can't be used any more: an answer may still be on the wire, or the session is in an
    /// unknown state.
    pub(super) fn is_given_up(&self) -> bool {
        self.broken
    }

    /// Counts one statement. Returns whether it is the first since the connection was taken out of the pool.
    pub(super) fn start_statement(&mut self) -> bool {
        self.pool.metrics.statements.inc();
        std::mem::take(&mut self.is_untouched)
    }

    /// Counts a statement that is sent again.
    pub(super) fn count_repetition(&self) {
        self.pool.metrics.repeated.inc();
    }

    /// The span of a statement that is sent at the time `began`.
    pub(super) fn span(&self, statement: &str, began: Instant) -> Span {
        let mut span = statement_span::begin(&self.trace, statement, began);
        span.share(&self.pool.description);
        span
    }

    /// What a statement that is about to be sent does to its session, judged by its text and by the database's views
    /// and triggers. If it may make one of those, they are in doubt.
    pub(super) fn judge(&self, statement: &str) -> Effect {
        let server = &self.pool.server;
        let effect = sql::effect(statement, server.database());
        self.doubt_views(statement, effect);
        match effect {
            Effect::Read | Effect::Write if server.hides_changes() => Effect::ChangesSession,
            effect => effect,
        }
    }

    /// Has views and triggers in doubt for all connections from now on, if a statement with this effect may make one.
    pub(super) fn doubt_views(&self, statement: &str, effect: Effect) {
        if effect == Effect::ChangesSession && sql::may_make_views(statement) {
            self.pool.server.hidden.doubt();
        }
    }

    /// The longest wait for an answer.
    pub(super) fn statement_limit(&self) -> Duration {
        self.pool.settings.statement
    }

    /// The longest wait for the answer to a statement, and for each further row.
    pub(super) fn answer_limit(&self) -> AnswerLimit {
        AnswerLimit {
            time: self.statement_limit(),
            tenure: self.pool.server.tenure_of(self),
        }
    }
}

impl Deref for PooledConnection {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.conn.as_ref().expect("it was connected before")
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut Conn {
        self.conn.as_mut().expect("it was connected before")
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let (Some(conn), Some(loan)) = (self.conn.take(), self.loan.take()) else {
            return;
        };
        let pool = self.pool.clone();
        if self.is_closed {
            drop(loan);
        } else if self.broken {
            pool.runtime.clone().spawn(close(conn, pool, loan));
        } else if self.session.is_clean() {
            pool.keep(conn, self.generation);
        } else {
            let clean = clean(conn, self.session, self.generation, pool.clone(), loan);
            pool.runtime.spawn(clean);
        }
    }
}

/// How many times a server that can't be reached is asked to kill a connection. Until the connection has ended, its
/// locks stay.
const KILL_ATTEMPTS: u32 = 3;

/// The pause before the second attempt; it is doubled before the third. It is needed because a server that refuses
/// connections, or has too many, answers at once.
const KILL_PAUSE: Duration = Duration::from_millis(250);

/// Closes a connection that is of no more use. Its permit is held meanwhile, but for a few wait limits at most. A
/// server that is busy with an abandoned statement would notice late that the connection is closed, and keep its locks
/// until then. So the host sends it a `KILL` for the connection. A member that answers reads keeps no locks for one,
/// and another connection may lead to another member, so it gets none.
async fn close(conn: ListedConn, pool: Arc<Pool>, loan: Loan) {
    let limit = pool.settings.wait;
    let (conn, process) = conn.into_parts();
    // The driver also reports this for a connection that was left in the middle of a statement.
    let is_silent = conn.is_disconnected();
    let is_left = is_silent || timeout(ABANDONED, conn.disconnect()).await.is_err();
    if is_left && !pool.server.is_standby() {
        let kill = async || {
            let mut other = pool.open().await?;
            process.kill(&mut other).await?;
            other.into_parts().0.disconnect().await
        };
        for attempt in 0..KILL_ATTEMPTS {
            tokio::time::sleep(attempt * KILL_PAUSE).await;
            if matches!(timeout(limit, kill()).await, Ok(Ok(()))) {
                break;
            }
        }
    }
    drop(loan);
}

/// Rolls back an open transaction and undoes changes to the session. The permit is held until the end, so that a pool
/// of ten never has an eleventh connection.
async fn clean(
    mut conn: ListedConn,
    session: Session,
    generation: u64,
    pool: Arc<Pool>,
    loan: Loan,
) {
    let cleaned = timeout(pool.settings.wait, async {
        if session.changed {
            // A reset discards the prepared statements, so it is not done each time.
            return pool.server.reset(&mut conn).await;
        }
        conn.query_drop("ROLLBACK").await.is_ok()
            && conn.query_drop("SET autocommit=1").await.is_ok()
    });
    if cleaned.await.unwrap_or(false) {
        pool.keep(conn, generation);
    }
    drop(loan);
}
