//! One statement on a pool's connection, and what its outcome means for the connection.

use std::time::Duration;

use mysql_async::Params;
use mysql_async::prelude::Queryable;

use super::connection::PooledConnection;
use super::errors::says_closed;
use super::session::Verdict;
use super::sql::Effect;

/// A statement that is about to be sent.
pub(super) struct Statement<'a> {
    text: &'a str,
    effect: Effect,
    /// A copy of its parameters, if it may be sent again.
    again: Option<Params>,
    limit: Duration,
}

impl<'a> Statement<'a> {
    /// Marks the connection as broken until [`succeeded`](Self::succeeded) or [`failed`](Self::failed) is called: if the
    /// guest abandons its call, the answer is still on the wire.
    pub(super) fn begin(connection: &mut PooledConnection, text: &'a str, params: &Params) -> Self {
        let effect = connection.effect(text);
        let is_first = connection.start_statement();
        connection.broken = true;
        Self {
            text,
            effect,
            again: (is_first && effect.is_repeatable()).then(|| params.clone()),
            limit: connection.statement_limit(),
        }
    }

    /// Runs it for its effect alone.
    pub(super) async fn execute(
        &mut self,
        connection: &mut PooledConnection,
        params: Params,
    ) -> mysql_async::Result<()> {
        let done = within(self.limit, connection.exec_drop(self.text, params)).await;
        match done {
            Err(error) => {
                let params = self.repeat(connection, error).await?;
                within(self.limit, connection.exec_drop(self.text, params)).await
            }
            done => done,
        }
    }

    /// Opens a new connection if the server had closed this one before the statement was sent, and returns the parameters
    /// to send the statement again.
    ///
    /// # Errors
    /// `error`, if it has another cause or the statement may not be sent again.
    pub(super) async fn repeat(
        &mut self,
        connection: &mut PooledConnection,
        error: mysql_async::Error,
    ) -> mysql_async::Result<Params> {
        match self.again.take() {
            Some(params) if says_closed(&error) && connection.renew().await.is_ok() => Ok(params),
            _ => Err(error),
        }
    }

    /// Notes that the statement was answered to its end.
    pub(super) fn succeeded(self, connection: &mut PooledConnection) {
        let status = connection.last_ok_packet().map(|ok| ok.status_flags());
        connection.broken = false;
        connection.session.succeeded(self.effect, status);
    }

    /// Notes that the statement failed.
    pub(super) fn failed(self, connection: &mut PooledConnection, error: &mysql_async::Error) {
        connection.broken = false;
        match connection.session.failed(self.effect, error) {
            Verdict::Keep => {}
            Verdict::Close => connection.fail(error),
        }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }
}

/// Waits for the server for `limit`. No answer by then is an error like that of a broken connection.
pub(super) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = mysql_async::Result<T>>,
) -> mysql_async::Result<T> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time").into())
        }
    }
}
