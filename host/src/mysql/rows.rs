//! One query's way from the server to the guest: the first rows with the answer, the rest as they come.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

use super::pool::PooledConnection;
use super::values;
use crate::bindings::spin::mysql::mysql::{Column, Error, ParameterValue, Row};
use crate::state::State;

/// Rows read before the guest gets to see any: a result this small needs no task of its own.
const ROWS_AT_ONCE: usize = 256;

/// Rows read ahead of a slow guest.
const ROWS_AHEAD: usize = 256;

/// What is known of a query once its first rows are here.
pub(super) struct Head {
    pub(super) columns: Vec<Column>,
    pub(super) rows: RowStream,
    /// Resolves when the last row is read.
    pub(super) end: oneshot::Receiver<Result<(), Error>>,
}

/// Runs a query. Returns with the first rows; the rest is read by a task of its own that ends with the stream.
pub(super) async fn query(
    connection: OwnedMutexGuard<PooledConnection>,
    statement: String,
    params: Vec<ParameterValue>,
) -> Result<Head, Error> {
    let (head_sender, mut head) = oneshot::channel();
    let mut reading = Box::pin(read(connection, statement, params, head_sender));
    tokio::select! {
        biased;
        () = &mut reading => {}
        first = &mut head => {
            tokio::spawn(reading);
            return first.unwrap_or_else(|_| Err(Error::Other("the query was abandoned".into())));
        }
    }
    head.await
        .unwrap_or_else(|_| Err(Error::Other("the query was abandoned".into())))
}

/// How many rows a query gives with its answer.
#[cfg(feature = "micro")]
pub(crate) async fn first_rows(
    connection: OwnedMutexGuard<PooledConnection>,
    statement: &str,
) -> Result<usize, Error> {
    let head = query(connection, statement.to_owned(), Vec::new()).await?;
    Ok(head.rows.first.len())
}

async fn read(
    mut connection: OwnedMutexGuard<PooledConnection>,
    statement: String,
    params: Vec<ParameterValue>,
    head: oneshot::Sender<Result<Head, Error>>,
) {
    let limit = connection.start_statement();
    // Left set if this future is dropped half-way: nobody may use the connection then.
    connection.broken = true;
    let outcome = read_rows(&mut connection, &statement, params, limit, head).await;
    connection.broken = false;
    match outcome {
        Ok(()) => connection.session.observe(&statement),
        Err(Stop::Statement) => {}
        Err(Stop::Connection) => connection.failed(),
        Err(Stop::Abandoned) => connection.broken = true,
    }
}

/// Why reading ended before the last row.
enum Stop {
    /// The server turned the statement down; the connection is fine.
    Statement,
    Connection,
    /// The guest stopped reading, so there are rows on the wire that nobody wants.
    Abandoned,
}

impl Stop {
    fn of(error: &mysql_async::Error) -> Self {
        if error.is_fatal() {
            Self::Connection
        } else {
            Self::Statement
        }
    }
}

async fn read_rows(
    connection: &mut PooledConnection,
    statement: &str,
    params: Vec<ParameterValue>,
    limit: Duration,
    head: oneshot::Sender<Result<Head, Error>>,
) -> Result<(), Stop> {
    let started = within(
        limit,
        connection.exec_iter(statement, values::params(params)),
    );
    let mut result = match started.await {
        Ok(result) => result,
        Err(error) => {
            let stop = Stop::of(&error);
            _ = head.send(Err(values::query_error(&error)));
            return Err(stop);
        }
    };
    let columns = values::columns(result.columns_ref());
    let (end_sender, end) = oneshot::channel();
    let mut rows = Vec::new();
    let mut outcome = None;
    while outcome.is_none() && rows.len() < ROWS_AT_ONCE {
        match next_row(&mut result, &columns, limit).await {
            Ok(Some(row)) => rows.push(row),
            Ok(None) => outcome = Some(Ok(())),
            Err(error) => outcome = Some(Err(error)),
        }
    }
    let (row_sender, rest) = mpsc::channel(ROWS_AHEAD);
    let stream = RowStream {
        first: rows,
        rest: outcome.is_none().then_some(rest),
    };
    _ = head.send(Ok(Head {
        columns: columns.clone(),
        rows: stream,
        end,
    }));
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => tokio::select! {
            outcome = read_on(&mut result, &columns, limit, &row_sender) => outcome?,
            () = row_sender.closed() => return Err(Stop::Abandoned),
        },
    };
    let stop = outcome.as_ref().err().map(RowError::stop);
    _ = end_sender.send(outcome.map_err(RowError::into_wit));
    stop.map_or(Ok(()), Err)
}

/// Hands on the rows after the first ones.
async fn read_on(
    result: &mut Rows<'_>,
    columns: &[Column],
    limit: Duration,
    sender: &mpsc::Sender<Row>,
) -> Result<Result<(), RowError>, Stop> {
    loop {
        match next_row(result, columns, limit).await {
            Ok(Some(row)) => sender.send(row).await.map_err(|_| Stop::Abandoned)?,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        }
    }
}

enum RowError {
    Driver(mysql_async::Error),
    Value(Error),
}

impl RowError {
    fn stop(&self) -> Stop {
        match self {
            Self::Driver(error) => Stop::of(error),
            // The rest of the rows is still on the wire.
            Self::Value(_) => Stop::Abandoned,
        }
    }

    fn into_wit(self) -> Error {
        match self {
            Self::Driver(error) => values::query_error(&error),
            Self::Value(error) => error,
        }
    }
}

type Rows<'a> = mysql_async::QueryResult<'a, 'static, mysql_async::BinaryProtocol>;

async fn next_row(
    result: &mut Rows<'_>,
    columns: &[Column],
    limit: Duration,
) -> Result<Option<Row>, RowError> {
    match within(limit, result.next())
        .await
        .map_err(RowError::Driver)?
    {
        Some(row) => values::row(row, columns).map(Some).map_err(RowError::Value),
        None => Ok(None),
    }
}

/// Waits for the server, but not for ever: one that went silent counts as a connection that broke.
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

/// The rows of one result as the guest reads them.
pub(super) struct RowStream {
    first: Vec<Row>,
    rest: Option<mpsc::Receiver<Row>>,
}

impl StreamProducer<State> for RowStream {
    type Item = Row;
    type Buffer = VecBuffer<Row>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, State>,
        mut destination: Destination<'a, Row, VecBuffer<Row>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let first = std::mem::take(&mut self.first);
        let Some(rest) = &mut self.rest else {
            destination.set_buffer(first.into());
            return Poll::Ready(Ok(StreamResult::Dropped));
        };
        if !first.is_empty() {
            destination.set_buffer(first.into());
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut rows = Vec::new();
        match rest.poll_recv_many(cx, &mut rows, ROWS_AT_ONCE) {
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            poll => {
                let received = ready!(poll);
                destination.set_buffer(rows.into());
                let more = if received == 0 {
                    StreamResult::Dropped
                } else {
                    StreamResult::Completed
                };
                Poll::Ready(Ok(more))
            }
        }
    }
}
