//! One statement on a pool's connection, and what its outcome means for the connection.

use std::borrow::Cow;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Params, Statement as Prepared};
use store_server::trace::Span;
use tokio::time::timeout;

use super::connection::PooledConnection;
use super::errors::says_closed;
use super::group::WriterTenure;
use super::session::Verdict;
use super::sql::Effect;

/// A statement that is about to be sent.
pub(super) struct Statement<'a> {
    text: &'a str,
    effect: Effect,
    /// A copy of its parameters, if it may be sent again.
    again: Option<Params>,
    limit: AnswerLimit,
    began: Instant,
    span: Span,
}

/// Within this time after a statement was sent, it shows that the server had closed the connection before. What breaks later
/// may have been broken by the statement.
const STALE_SHOWS: Duration = Duration::from_secs(1);

/// How long an answer is awaited.
#[derive(Clone)]
pub(super) struct AnswerLimit {
    pub(super) time: Duration,
    /// Shorter if the server is one of several, and the work goes to another meanwhile.
    pub(super) tenure: Option<WriterTenure>,
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
            limit: connection.answer_limit(),
            began: Instant::now(),
            span: connection.span(text),
        }
    }

    /// Has it prepared on this connection, unless it is.
    ///
    /// # Errors
    /// The server refuses it, or is gone. There is no limit of time here.
    pub(super) async fn prepare(
        &mut self,
        connection: &mut PooledConnection,
    ) -> mysql_async::Result<Prepared> {
        let mut preparing = pin!(connection.prep(self.text));
        // What is prepared already is there without waiting for anyone.
        if let Poll::Ready(prepared) = futures::poll!(preparing.as_mut()) {
            return prepared;
        }
        self.span.set("store.mysql.prepared_now", true);
        preparing.await
    }

    /// Takes note of the rows that it gave.
    pub(super) fn returned(&mut self, rows: usize) {
        self.span.set("db.response.returned_rows", rows);
    }

    /// Nobody wants the rest of its rows.
    pub(super) fn abandoned(mut self) {
        self.span.fail("abandoned");
    }

    /// Runs it for its effect alone.
    pub(super) async fn execute(
        &mut self,
        connection: &mut PooledConnection,
        params: Params,
    ) -> mysql_async::Result<()> {
        match self.send(connection, params).await {
            Err(error) => {
                let params = self.repeat(connection, error).await?;
                self.send(connection, params).await
            }
            done => done,
        }
    }

    async fn send(
        &mut self,
        connection: &mut PooledConnection,
        params: Params,
    ) -> mysql_async::Result<()> {
        within(&self.limit(), async {
            let prepared = self.prepare(connection).await?;
            connection.exec_drop(&prepared, params).await
        })
        .await
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
            Some(params)
                if says_closed(&error)
                    && connection.has_rested()
                    && self.began.elapsed() < STALE_SHOWS
                    && connection.renew().await.is_ok() =>
            {
                // It may lead to another member now.
                self.limit = connection.answer_limit();
                Ok(params)
            }
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
    pub(super) fn failed(mut self, connection: &mut PooledConnection, error: &mysql_async::Error) {
        if self.span.is_on() {
            self.span.fail(error_type(error));
        }
        connection.broken = false;
        match connection.session.failed(self.effect, error) {
            Verdict::Keep => {}
            Verdict::Close => connection.fail(error),
        }
    }

    pub(super) fn limit(&self) -> AnswerLimit {
        self.limit.clone()
    }
}

/// What a trace calls an error: by its number, or by what became of the connection.
fn error_type(error: &mysql_async::Error) -> Cow<'static, str> {
    match error {
        mysql_async::Error::Server(error) => error.code.to_string().into(),
        mysql_async::Error::Io(_) => "connection".into(),
        mysql_async::Error::Driver(_)
        | mysql_async::Error::Url(_)
        | mysql_async::Error::Other(_) => "driver".into(),
    }
}

/// Waits for the server for `limit`. No answer by then is an error like that of a broken connection.
pub(super) async fn within<T>(
    limit: &AnswerLimit,
    answer: impl Future<Output = mysql_async::Result<T>>,
) -> mysql_async::Result<T> {
    let silent = |reason| std::io::Error::new(std::io::ErrorKind::TimedOut, reason);
    let answer = timeout(limit.time, answer);
    let answer = match &limit.tenure {
        None => answer.await,
        Some(tenure) => tokio::select! {
            biased;
            answer = answer => answer,
            () = tenure.over() => return Err(silent("no answer, and MySQL is written to elsewhere").into()),
        },
    };
    answer.map_err(|_| silent("no answer in time"))?
}
