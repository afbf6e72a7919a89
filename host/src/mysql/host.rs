//! The functions of `spin:mysql`.

use std::sync::Arc;
use std::time::Duration;

use store_server::trace::{Ids, Trace};
use tokio::sync::Mutex;
use wasmtime::AsContextMut;
use wasmtime::component::{
    Accessor, FutureReader, GuestTaskId, HasSelf, Linker, Resource, StreamReader,
};

use super::connection::PooledConnection;
use super::hint::Hint;
use super::pool::Pool;
use super::rows::QueryError;
use super::statement::Statement;
use super::{Connection, rows, sql, values};
use crate::instance::bindings::spin::mysql::mysql::{
    self as wit, Column, Error, Host, HostConnection, HostConnectionWithStore, ParameterValue, Row,
};
use crate::instance::{Context, HeldBytes, MemoryShare, State, connected, lead, request_task};
use crate::metrics::Refusal;
use crate::outbound::{Kind, TOO_MANY};

type Results = (
    Vec<Column>,
    StreamReader<Row>,
    FutureReader<Result<(), Error>>,
);

/// Adds `spin:mysql` to the linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl Host for State {}

impl HostConnection for State {
    fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl HostConnectionWithStore<State> for HasSelf<State> {
    async fn open(
        accessor: &Accessor<State, Self>,
        address: String,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        let (component, generation, opener) = accessor.with(|mut access| {
            let opener = connected(&mut access.as_context_mut())?;
            let state = access.get();
            wasmtime::error::Ok((state.component.clone(), state.generation, opener))
        })?;
        let pool = match pool(&component, &address, &opener.trace) {
            Ok(pool) => pool,
            Err(reason) => return Ok(Err(Error::ConnectionFailed(reason))),
        };
        let ids = opener.trace.ids();
        let mut connection = PooledConnection::of(pool, generation, opener.client, opener.trace);
        let is_to_group = connection.connects_late();
        if !is_to_group && let Err(error) = connect(&mut connection, &component).await {
            return Ok(Err(error));
        }
        let connection = Connection {
            is_to_group,
            statement_limit: connection.statement_limit(),
            ids,
            pooled: Arc::new(Mutex::new(connection)),
        };
        accessor.with(|mut access| Ok(Ok(access.get().table.push(connection)?)))
    }

    async fn query(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<Results, Error>> {
        let (connection, caller) = lookup(accessor, &connection)?;
        // A statement that is too large is refused below, and is not taken apart before.
        let may_have_hint = caller.is_to_group && caller.share.can_hold(statement.len());
        let (hint, reader) = match may_have_hint {
            true => hint(accessor, &statement)?,
            false => (Hint::None, None),
        };
        let held = match caller.admit(&statement, &params).await {
            Ok(held) => held,
            Err(error) => return Ok(Err(error)),
        };
        let mut connection = connection.lock_owned().await;
        if let Err(error) = caller.prepare(&mut connection, hint).await {
            return Ok(Err(error));
        }
        note_transaction(accessor, &mut connection)?;
        let room = caller.share.stream();
        let head = rows::query(connection, statement, values::params(params), room).await;
        drop(held);
        let head = match head {
            Ok(head) => head,
            Err(error) => return Ok(Err(caller.report(error))),
        };
        let end = async move {
            let lost = |_| Err(Error::Other("the query was abandoned".into()));
            wasmtime::error::Ok(head.end.await.unwrap_or_else(lost))
        };
        accessor.with(|mut access| {
            if let (true, Some(reader)) = (head.is_stale, reader) {
                access.get().callers.reads_stale(reader);
            }
            let rows = StreamReader::new(&mut access, head.rows)?;
            let end = FutureReader::new(&mut access, end)?;
            Ok(Ok((head.columns, rows, end)))
        })
    }

    async fn execute(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let (connection, caller) = lookup(accessor, &connection)?;
        let _held = match caller.admit(&statement, &params).await {
            Ok(held) => held,
            Err(error) => return Ok(Err(error)),
        };
        let mut connection = connection.lock_owned().await;
        if let Err(error) = caller.prepare(&mut connection, Hint::None).await {
            return Ok(Err(error));
        }
        note_transaction(accessor, &mut connection)?;
        let params = values::params(params);
        let mut running = Statement::begin(&mut connection, &statement, &params);
        match running.execute(&mut connection, params).await {
            Ok(()) => {
                running.succeeded(&mut connection);
                Ok(Ok(()))
            }
            Err(error) => {
                running.failed(&mut connection, &error);
                Ok(Err(values::query_error(&error)))
            }
        }
    }
}

/// The error for a connection that can't be used any more: an answer was not read to its end, or the session is in an
/// unknown state.
fn given_up() -> Error {
    Error::Other("this connection was given up after its last statement; open another".into())
}

/// The error for a statement that needs the writer, on a connection that leads to another member.
fn stale() -> Error {
    Error::ConnectionFailed(
        "this connection is to a MySQL member that is not the writer; open another".into(),
    )
}

/// Connects to the server, if that has not been done.
async fn connect(connection: &mut PooledConnection, component: &Context) -> Result<(), Error> {
    connection.connect().await.map_err(|error| {
        component.warn_of_outage(&error, connection.trace.ids());
        Error::ConnectionFailed(error.to_string())
    })
}

/// The pool for `address`, if the component may connect to it. `trace` is that of the request for which it asks.
fn pool(component: &Context, address: &str, trace: &Trace) -> Result<Arc<Pool>, String> {
    // If there is a pool for the address, the address was allowed when the pool was made, and one context never changes
    // what it allows.
    if let Some(pool) = component.mysql.get(address) {
        return Ok(pool);
    }
    let backend = component.check_outbound(address, Kind::Mysql, trace.ids())?;
    let pool = component.mysql.get_or_make(address, &backend);
    pool.ok_or_else(|| {
        component.note_refusal(Refusal::Pools, TOO_MANY, trace.ids());
        TOO_MANY.into()
    })
}

/// What the calls of one instance need.
struct Caller {
    component: Arc<Context>,
    share: MemoryShare,
    is_to_group: bool,
    statement_limit: Duration,
    /// The ids of the request for which the connection was opened.
    ids: Option<Ids>,
}

impl Caller {
    /// Prepares the connection for a statement with this hint.
    async fn prepare(&self, connection: &mut PooledConnection, hint: Hint) -> Result<(), Error> {
        if connection.is_given_up() {
            return Err(given_up());
        }
        if connection.is_stale() && hint != Hint::MayBeStale {
            return Err(stale());
        }
        connection.hint = hint;
        connect(connection, &self.component).await
    }

    /// Takes room in the instance's memory share for a statement and its parameters, and refuses XA transactions. The
    /// room comes before any other wait, as they are in the host's memory from the beginning of the call, and first of
    /// all, so that no statement is taken apart that is too large.
    async fn admit(&self, statement: &str, params: &[ParameterValue]) -> Result<HeldBytes, Error> {
        let bytes = statement.len() + values::parameters_weight(params);
        let held = self.share.hold(bytes, self.statement_limit).await;
        let held = held.map_err(|error| self.report(QueryError::NoRoom(error)))?;
        if let Some(reason) = sql::refusal(statement) {
            self.component
                .note_refusal(Refusal::Statement, reason, self.ids);
            return Err(Error::Other(reason.into()));
        }
        Ok(held)
    }

    /// The error that the component gets. If the reason is a lack of room, the refusal is counted.
    fn report(&self, error: QueryError) -> Error {
        match error {
            QueryError::NoRoom(error) => {
                self.component
                    .note_refusal(error.refusal(), &error.to_string(), self.ids);
                values::no_room(error)
            }
            QueryError::Other(error) => error,
        }
    }
}

/// The hint of a query, and the task of the request that may get a stale answer. Without a request there is no such
/// hint: what is read could not be kept from Redis. Must be called before the first await, as wasmtime knows the task
/// only until then.
fn hint(
    accessor: &Accessor<State, HasSelf<State>>,
    statement: &str,
) -> wasmtime::Result<(Hint, Option<GuestTaskId>)> {
    let hint = Hint::of(statement);
    if hint != Hint::MayBeStale {
        return Ok((hint, None));
    }
    let reader = accessor.with(|mut access| request_task(&mut access.as_context_mut()))?;
    Ok((reader.map_or(Hint::None, |_| hint), reader))
}

/// Tells the trace when a traced transaction sends its first statement.
fn note_transaction(
    accessor: &Accessor<State, HasSelf<State>>,
    connection: &mut PooledConnection,
) -> wasmtime::Result<()> {
    if connection.begins_traced_transaction() {
        accessor.with(|mut access| lead(&mut access.as_context_mut()))?;
    }
    Ok(())
}

fn lookup(
    accessor: &Accessor<State, HasSelf<State>>,
    connection: &Resource<Connection>,
) -> wasmtime::Result<(Arc<Mutex<PooledConnection>>, Caller)> {
    accessor.with(|mut access| {
        let state = access.get();
        let connection = state.table.get(connection)?;
        let caller = Caller {
            component: state.component.clone(),
            share: state.share.clone(),
            is_to_group: connection.is_to_group,
            statement_limit: connection.statement_limit,
            ids: connection.ids,
        };
        Ok((connection.pooled.clone(), caller))
    })
}
