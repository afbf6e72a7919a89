//! Reads the rows of a query for the guest: the first ones with the answer, the others as they come.

use std::time::Duration;

use mysql_async::Params;
use mysql_async::prelude::Queryable;
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};

use super::answer_limit::{AnswerLimit, within};
use super::connection::PooledConnection;
use super::row_stream::{HeldRow, ROWS_AT_ONCE, RowStream};
use super::statement::Statement;
use super::values;
use crate::instance::bindings::spin::mysql::mysql::{Column, Error, Row};
use crate::instance::{NoRoom, StreamShare};

/// The most rows that are read ahead of a slow guest. Large rows are also limited by the instance's [`StreamShare`].
const ROWS_AHEAD: usize = 256;

/// The beginning of a result: its columns, and its rows, of which only the first have been read.
pub(super) struct Head {
    pub(super) columns: Vec<Column>,
    pub(super) rows: RowStream,
    /// Resolves when the last row has been read.
    pub(super) end: oneshot::Receiver<Result<(), Error>>,
    /// Whether a member answered that is not the writer.
    pub(super) is_stale: bool,
}

/// Why a query has no rows.
pub(super) enum QueryError {
    NoRoom(NoRoom),
    Other(Error),
}

/// Runs a query and returns its first rows. A task reads the rest, as far as there is `room`, and ends when the stream
/// is dropped.
pub(super) async fn query(
    connection: OwnedMutexGuard<PooledConnection>,
    statement: String,
    params: Params,
    room: StreamShare,
) -> Result<Head, QueryError> {
    let (head_sender, mut head) = oneshot::channel();
    let mut reading = Box::pin(read(connection, statement, params, room, head_sender));
    let abandoned = |_| {
        Err(QueryError::Other(Error::Other(
            "the query was abandoned".into(),
        )))
    };
    tokio::select! {
        biased;
        () = &mut reading => {}
        first = &mut head => {
            tokio::spawn(reading);
            return first.unwrap_or_else(abandoned);
        }
    }
    head.await.unwrap_or_else(abandoned)
}

/// The number of rows that a query returns with its answer.
#[cfg(feature = "micro")]
pub(crate) async fn first_rows(
    connection: OwnedMutexGuard<PooledConnection>,
    statement: &str,
    room: StreamShare,
) -> Result<usize, Error> {
    let head = query(connection, statement.to_owned(), Params::Empty, room).await;
    match head {
        Ok(head) => Ok(head.rows.first.len()),
        Err(QueryError::NoRoom(error)) => Err(values::no_room(error)),
        Err(QueryError::Other(error)) => Err(error),
    }
}

async fn read(
    mut connection: OwnedMutexGuard<PooledConnection>,
    statement: String,
    params: Params,
    room: StreamShare,
    head: oneshot::Sender<Result<Head, QueryError>>,
) {
    let mut running = Statement::begin(&mut connection, &statement, &params);
    match read_rows(&mut connection, &mut running, params, &room, head).await {
        Ok(()) => running.succeeded(&mut connection),
        Err(Stop::Failed(error)) => running.failed(&mut connection, &error),
        // The connection has counted as broken since the statement began.
        Err(Stop::Abandoned) => running.abandoned(),
    }
}

/// The driver's result of a query.
type Answer<'a> = mysql_async::QueryResult<'a, 'static, mysql_async::BinaryProtocol>;

/// Why reading ended before the last row.
enum Stop {
    Failed(mysql_async::Error),
    /// There are rows on the wire that nobody will read.
    Abandoned,
}

/// Reads all rows: sends the first ones to `head`, and the others to the stream that `head` contains.
async fn read_rows(
    connection: &mut PooledConnection,
    running: &mut Statement<'_>,
    params: Params,
    room: &StreamShare,
    head: oneshot::Sender<Result<Head, QueryError>>,
) -> Result<(), Stop> {
    let first_try = send(connection, running, params).await;
    let result = match first_try {
        Ok(result) => Ok(result),
        Err(error) => match running.repeat(connection, error).await {
            Ok(params) => send(connection, running, params).await,
            Err(error) => Err(error),
        },
    };
    let result = match result {
        Ok(result) => result,
        Err(error) => {
            let reported = match values::is_too_large(&error) {
                true => QueryError::NoRoom(NoRoom::RowTooLarge),
                false => QueryError::Other(values::query_error(&error)),
            };
            _ = head.send(Err(reported));
            return Err(Stop::Failed(error));
        }
    };
    let columns = values::columns(result.columns_ref());
    let mut reader = Reader {
        result,
        columns,
        limit: running.limit(),
        room,
        rows: 0,
    };
    let mut first = Vec::new();
    let mut first_held = Vec::new();
    let mut bytes = 0;
    // The last row that was read, if there is no room for it yet.
    let mut left = None;
    let mut outcome = None;
    while outcome.is_none() && first.len() < ROWS_AT_ONCE && bytes < room.bytes() {
        let patience = if first.is_empty() {
            reader.limit.time
        } else {
            Duration::ZERO
        };
        match reader.next(patience).await {
            Ok(Some(NextRow::Held(weight, (row, held)))) => {
                bytes += weight;
                first.push(row);
                first_held.extend(held.is_counted().then_some(held));
            }
            Ok(Some(NextRow::Waits(weight, row))) => {
                left = Some((weight, row));
                break;
            }
            Ok(None) => outcome = Some(Ok(())),
            Err(error) => outcome = Some(Err(error)),
        }
    }
    if let (true, Some(Err(error))) = (first.is_empty(), &mut outcome)
        && let Some(error) = error.take_no_room()
    {
        _ = head.send(Err(QueryError::NoRoom(error)));
        return Err(Stop::Abandoned);
    }
    let (row_sender, rest) = mpsc::channel(ROWS_AHEAD);
    let (end_sender, end) = oneshot::channel();
    let stream = RowStream {
        first,
        lent: first_held,
        rest: outcome.is_none().then_some(rest),
    };
    _ = head.send(Ok(Head {
        columns: reader.columns.clone(),
        rows: stream,
        end,
        is_stale: running.is_stale(),
    }));
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => tokio::select! {
            outcome = reader.read_on(left, &row_sender) => outcome?,
            () = row_sender.closed() => return Err(Stop::Abandoned),
        },
    };
    let (end, stop) = match outcome {
        Ok(()) => (Ok(()), Ok(())),
        Err(error) => {
            let (reported, stop) = error.split();
            (Err(reported), Err(stop))
        }
    };
    _ = end_sender.send(end);
    running.returned(reader.rows);
    stop
}

/// Sends the statement. Prepares it first if necessary.
async fn send<'c>(
    connection: &'c mut PooledConnection,
    running: &mut Statement<'_>,
    params: Params,
) -> mysql_async::Result<Answer<'c>> {
    within(&running.limit(), async {
        let prepared = running.prepare(connection).await?;
        connection.exec_iter(prepared, params).await
    })
    .await
}

enum RowError {
    Driver(mysql_async::Error),
    Value(Error),
    NoRoom(NoRoom),
}

impl RowError {
    fn of(error: mysql_async::Error) -> Self {
        match values::is_too_large(&error) {
            true => Self::NoRoom(NoRoom::RowTooLarge),
            false => Self::Driver(error),
        }
    }

    /// The error for the guest, and its consequence for the connection.
    fn split(self) -> (Error, Stop) {
        match self {
            Self::Driver(error) => (values::query_error(&error), Stop::Failed(error)),
            // The remaining rows are still on the wire.
            Self::Value(error) => (error, Stop::Abandoned),
            Self::NoRoom(error) => (values::no_room(error), Stop::Abandoned),
        }
    }

    fn take_no_room(&self) -> Option<NoRoom> {
        match self {
            Self::NoRoom(error) => Some(*error),
            Self::Driver(_) | Self::Value(_) => None,
        }
    }
}

/// A row that was read, with its weight in bytes.
enum NextRow {
    Held(usize, HeldRow),
    /// There was no room for the row in time.
    Waits(usize, Row),
}

/// Reads the rows of one result from the driver.
struct Reader<'a> {
    result: Answer<'a>,
    columns: Vec<Column>,
    limit: AnswerLimit,
    room: &'a StreamShare,
    /// The number of rows that were read.
    rows: usize,
}

impl Reader<'_> {
    /// The next row. It comes with room in the share, if there is enough within `patience`.
    async fn next(&mut self, patience: Duration) -> Result<Option<NextRow>, RowError> {
        let row = within(&self.limit, self.result.next()).await;
        let Some(row) = row.map_err(RowError::of)? else {
            return Ok(None);
        };
        self.rows += 1;
        let weight = values::row_weight(&row);
        let row = values::row(row, &self.columns).map_err(RowError::Value)?;
        match self.room.hold(weight, patience).await {
            Ok(held) => Ok(Some(NextRow::Held(weight, (row, held)))),
            Err(NoRoom::Full) if patience.is_zero() => Ok(Some(NextRow::Waits(weight, row))),
            Err(error) => Err(RowError::NoRoom(error)),
        }
    }

    /// Sends the remaining rows to the guest, beginning with `left`.
    async fn read_on(
        &mut self,
        left: Option<(usize, Row)>,
        sender: &mpsc::Sender<HeldRow>,
    ) -> Result<Result<(), RowError>, Stop> {
        let mut left = left;
        loop {
            let row = match left.take() {
                Some((weight, row)) => match self.room.hold(weight, self.limit.time).await {
                    Ok(held) => (row, held),
                    Err(error) => return Ok(Err(RowError::NoRoom(error))),
                },
                None => match self.next(self.limit.time).await {
                    Ok(Some(NextRow::Held(_, row))) => row,
                    Ok(Some(NextRow::Waits(..))) => return Ok(Err(RowError::NoRoom(NoRoom::Full))),
                    Ok(None) => return Ok(Ok(())),
                    Err(error) => return Ok(Err(error)),
                },
            };
            sender.send(row).await.map_err(|_| Stop::Abandoned)?;
        }
    }
}
