//! Takes a connection from its pool. The connection and its permit are stored together, so that neither can leak alone.

use std::sync::Arc;
use std::time::Instant;

use store_server::trace::{Kind, Span, Trace};
use tokio::time::timeout;

use super::{Loan, PooledConnection};
use crate::clients::Asker;
use crate::mysql::hint::Hint;
use crate::mysql::pool::{Pool, PoolError};

impl Pool {
    /// Lends a clean connection to an instance of `generation` that works for `asker`: an idle one, or else a new one.
    ///
    /// # Errors
    /// No connection becomes free, or none can be opened, within the wait limit.
    pub(crate) async fn checkout(
        self: &Arc<Self>,
        generation: u64,
        asker: Asker,
    ) -> Result<PooledConnection, PoolError> {
        let began = Instant::now();
        let lent = self.checkout_since(began, generation, asker).await?;
        self.metrics.waited(began.elapsed(), &Span::default());
        Ok(lent)
    }

    /// As [`Pool::checkout`], for a caller whose wait began at `began` and who counts it.
    async fn checkout_since(
        self: &Arc<Self>,
        began: Instant,
        generation: u64,
        asker: Asker,
    ) -> Result<PooledConnection, PoolError> {
        let permit = self.permit(began, asker).await?;
        let conn = match timeout(self.left_since(began), self.clean_connection(generation)).await {
            Ok(conn) => conn.map_err(|source| PoolError::Refused {
                address: self.server.to_string(),
                source,
            })?,
            Err(_) => {
                return Err(PoolError::Silent {
                    address: self.server.to_string(),
                    waited: self.settings.wait,
                });
            }
        };
        let loan = Loan {
            _permit: permit,
            _in_use: self.metrics.enter(),
        };
        if self.server.group_to_write_to().is_some() {
            // There is a writer, so no other member is needed.
            drop(self.standby.lock().take());
        }
        let pool = self.clone();
        Ok(PooledConnection::lend(conn, generation, asker, loan, pool))
    }

    /// As [`Pool::checkout`], for a query with this hint. If the hint says that another member may answer, the
    /// connection may lead there while the group has no writer. The caller's wait began at `began`; the caller counts
    /// it.
    ///
    /// # Errors
    /// As [`Pool::checkout`]; [`PoolError::NoWriter`] if the query does not wait for a writer.
    async fn checkout_for(
        self: &Arc<Self>,
        began: Instant,
        hint: Hint,
        generation: u64,
        asker: Asker,
    ) -> Result<PooledConnection, PoolError> {
        let usual = self.checkout_since(began, generation, asker);
        match self.unless_without_writer(hint, usual).await {
            Some(lent) => lent,
            None => {
                self.checkout_without_writer(began, hint, generation, asker)
                    .await
            }
        }
    }

    /// As [`Pool::checkout_for`], for a query that does not wait for a writer, when there is none.
    ///
    /// # Errors
    /// As [`Pool::checkout_for`].
    async fn checkout_without_writer(
        self: &Arc<Self>,
        began: Instant,
        hint: Hint,
        generation: u64,
        asker: Asker,
    ) -> Result<PooledConnection, PoolError> {
        if hint == Hint::NoWait {
            return Err(PoolError::NoWriter);
        }
        if let Some(standby) = self.standby() {
            match standby.checkout_since(began, generation, asker).await {
                // That may have become known only when the connection was opened.
                Ok(lent) if !standby.server.hides_changes() => return Ok(lent),
                Err(error) if self.standby_trouble.is_to_be_logged() => {
                    tracing::warn!("No other MySQL member answers reads at the moment: {error}");
                }
                Ok(_) | Err(_) => {}
            }
        }
        self.checkout_since(began, generation, asker).await
    }
}

impl PooledConnection {
    /// Takes a connection from the pool, unless this has one: one for a statement with the present hint.
    ///
    /// # Errors
    /// As [`Pool::checkout_for`].
    pub(in crate::mysql) async fn connect(&mut self) -> Result<(), PoolError> {
        if self.conn.is_some() {
            return Ok(());
        }
        let (pool, began) = (self.pool.clone(), Instant::now());
        let mut wait = self.trace.span_at("wait for MySQL", Kind::Internal, began);
        wait.share(&pool.description);
        let lent = pool.checkout_for(began, self.hint, self.generation, self.asker);
        let lent = lent.await.inspect_err(|error| wait.fail(error.kind()))?;
        let now = Instant::now();
        pool.metrics.waited(now - began, &wait);
        wait.end_at(now);
        self.take_over(lent);
        Ok(())
    }

    /// Becomes the lent connection, which is for the present statement. This must have none of its own.
    fn take_over(&mut self, mut lent: Self) {
        lent.trace = std::mem::replace(&mut self.trace, Trace::off());
        lent.hint = self.hint;
        *self = lent;
    }

    /// Replaces this connection, which the server closed while it was idle, by a new one, with the same permit. If
    /// there is no writer, and the present statement does not wait for one, replaces it by one to another member.
    ///
    /// # Errors
    /// No connection can be opened within the wait limit.
    pub(in crate::mysql) async fn renew(&mut self) -> mysql_async::Result<()> {
        self.pool.discard_idle(None);
        self.pool.server.doubt();
        let pool = self.pool.clone();
        let began = Instant::now();
        let opening = timeout(pool.settings.wait, pool.open());
        if let Some(opened) = pool.unless_without_writer(self.hint, opening).await {
            let silent = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
            self.conn = Some(opened.map_err(silent)??);
        } else {
            // The permit goes back first: the next connection may need one of the same pool.
            (self.conn, self.loan) = (None, None);
            let (hint, generation, asker) = (self.hint, self.generation, self.asker);
            let lent = pool.checkout_without_writer(began, hint, generation, asker);
            let lent = lent.await.map_err(std::io::Error::other)?;
            pool.metrics.waited(began.elapsed(), &Span::default());
            self.take_over(lent);
        }
        self.is_untouched = false;
        (self.broken, self.is_closed) = (true, false);
        Ok(())
    }
}
