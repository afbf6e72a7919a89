//! One statement on a pool's connection, and what its outcome means for the connection.

use std::borrow::Cow;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Params, Statement as Prepared};
use store_server::trace::Span;

use super::answer_limit::{AnswerLimit, within};
use super::connection::PooledConnection;
use super::errors::says_closed;
use super::session::Verdict;
use super::sql::Effect;

/// A statement that is about to be sent.
pub(super) struct Statement<'a> {
    text: &'a str,
    effect: Effect,
    /// A copy of the parameters, if the statement may be sent again.
    again: Option<Params>,
    limit: AnswerLimit,
    /// Whether a member answers that is not the writer.
    is_stale: bool,
    began: Instant,
    span: Span,
    /// Whether the trace says that the statement was prepared now.
    is_marked_as_prepared: bool,
}

/// An error within this time after a statement was sent shows that the server had closed the connection before. A later
/// error may have been caused by the statement.
const STALE_SHOWS: Duration = Duration::from_secs(1);

impl<'a> Statement<'a> {
    /// Marks the connection as broken until [`succeeded`](Self::succeeded) or [`failed`](Self::failed) is called,
    /// because the answer is still on the wire if the guest abandons its call.
    pub(super) fn begin(connection: &mut PooledConnection, text: &'a str, params: &Params) -> Self {
        let effect = connection.judge(text);
        let is_first = connection.start_statement();
        connection.broken = true;
        let began = Instant::now();
        Self {
            text,
            effect,
            again: (is_first && effect.is_repeatable()).then(|| params.clone()),
            limit: connection.answer_limit(),
            is_stale: connection.reads_stale(),
            began,
            span: connection.span(text, began),
            is_marked_as_prepared: false,
        }
    }

    /// Prepares the statement on this connection, unless it is prepared already. There is no time limit here.
    ///
    /// # Errors
    /// The server refuses the statement, or is gone.
    pub(super) async fn prepare(
        &mut self,
        connection: &mut PooledConnection,
    ) -> mysql_async::Result<Prepared> {
        let mut preparing = pin!(connection.prep(self.text));
        // A statement that is prepared already is ready at the first poll.
        if let Poll::Ready(prepared) = futures::poll!(preparing.as_mut()) {
            return prepared;
        }
        let prepared = preparing.await?;
        // A statement that is sent again is prepared again, on the new connection.
        if !std::mem::replace(&mut self.is_marked_as_prepared, true) {
            self.span.set("store.mysql.prepared_now", true);
        }
        Ok(prepared)
    }

    /// Records in the trace the number of rows that the statement returned.
    pub(super) fn returned(&mut self, rows: usize) {
        self.span.set("db.response.returned_rows", rows);
    }

    /// Records in the trace that nobody reads the remaining rows.
    pub(super) fn abandoned(mut self) {
        self.span.fail("abandoned");
    }

    /// Runs a statement that returns no rows.
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

    /// If the server had closed this connection before the statement was sent, opens a new connection and returns the
    /// parameters, so that the statement can be sent again.
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
                // A view that may change the session may have become known when the new connection was opened.
                self.effect = connection.judge(self.text);
                if !self.effect.is_repeatable() {
                    return Err(error);
                }
                connection.count_repetition();
                // The new connection may lead to another member.
                self.limit = connection.answer_limit();
                self.is_stale = connection.reads_stale();
                Ok(params)
            }
            _ => Err(error),
        }
    }

    /// Records that the complete answer has arrived.
    pub(super) fn succeeded(self, connection: &mut PooledConnection) {
        let status = connection.last_ok_packet().map(|ok| ok.status_flags());
        self.ended(connection);
        connection.session.succeeded(self.effect, status);
    }

    /// Records that the statement failed.
    pub(super) fn failed(mut self, connection: &mut PooledConnection, error: &mysql_async::Error) {
        if self.span.is_on() {
            if let mysql_async::Error::Server(error) = error {
                let code = error.code.to_string();
                self.span.set("db.response.status_code", code);
            }
            self.span.fail(error_type(error));
        }
        self.ended(connection);
        match connection.session.failed(self.effect, error) {
            Verdict::Keep => {}
            Verdict::Close => connection.fail(error),
        }
    }

    fn ended(&self, connection: &mut PooledConnection) {
        connection.broken = false;
        // A look that another connection began while the statement ran may have missed what it made.
        connection.doubt_views(self.text, self.effect);
    }

    /// Whether a member answers that is not the writer.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale
    }

    pub(super) fn limit(&self) -> AnswerLimit {
        self.limit.clone()
    }
}

/// The name of an error in traces: MySQL's number, or the part that failed.
fn error_type(error: &mysql_async::Error) -> Cow<'static, str> {
    match error {
        mysql_async::Error::Server(error) => error.code.to_string().into(),
        mysql_async::Error::Io(_) => "connection".into(),
        mysql_async::Error::Driver(_)
        | mysql_async::Error::Url(_)
        | mysql_async::Error::Other(_) => "driver".into(),
    }
}
