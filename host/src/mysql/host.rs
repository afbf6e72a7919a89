//! The calls of `spin:mysql`.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use tokio::sync::Mutex;
use wasmtime::component::{Access, Accessor, FutureReader, HasSelf, Resource, StreamReader};

use super::pool::PooledConnection;
use super::rows::within;
use super::{rows, values};
use crate::bindings::spin::mysql::mysql::{
    Column, Error, Host, HostConnection, HostConnectionWithStore, ParameterValue, Row,
};
use crate::state::State;

/// What a component holds: one connection of the pool until it drops it and has read every result of it.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Connection(Arc<Mutex<PooledConnection>>);

type Results = (
    Vec<Column>,
    StreamReader<Row>,
    FutureReader<Result<(), Error>>,
);

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
        let component = accessor.with(|mut access| access.get().component.clone());
        if let Err(reason) = component.check_outbound(&address, "mysql") {
            return Ok(Err(Error::ConnectionFailed(reason)));
        }
        let Ok(pool) = component.mysql.get(&address) else {
            return Ok(Err(Error::ConnectionFailed(
                "the address is not a MySQL URL".into(),
            )));
        };
        match pool.checkout().await {
            Ok(connection) => {
                let connection = Connection(Arc::new(Mutex::new(connection)));
                accessor.with(|mut access| Ok(Ok(access.get().table.push(connection)?)))
            }
            Err(error) => {
                component.warn_of_outage(&error);
                Ok(Err(Error::ConnectionFailed(error.to_string())))
            }
        }
    }

    async fn query(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<Results, Error>> {
        let connection = accessor.with(|access| lookup(access, &connection))?;
        let head = match rows::query(connection.lock_owned().await, statement, params).await {
            Ok(head) => head,
            Err(error) => return Ok(Err(error)),
        };
        let end = async move {
            let lost = |_| Err(Error::Other("the query was abandoned".into()));
            wasmtime::error::Ok(head.end.await.unwrap_or_else(lost))
        };
        accessor.with(|mut access| {
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
        let connection = accessor.with(|access| lookup(access, &connection))?;
        let mut connection = connection.lock_owned().await;
        let limit = connection.start_statement();
        // Left set if this call is abandoned: the answer to the statement would still be on the wire.
        connection.broken = true;
        let done = within(
            limit,
            connection.exec_drop(statement.as_str(), values::params(params)),
        )
        .await;
        connection.broken = false;
        match done {
            Ok(()) => {
                connection.session.observe(&statement);
                Ok(Ok(()))
            }
            Err(error) => {
                if error.is_fatal() {
                    connection.failed();
                }
                Ok(Err(values::query_error(&error)))
            }
        }
    }
}

fn lookup(
    mut access: Access<'_, State, HasSelf<State>>,
    connection: &Resource<Connection>,
) -> wasmtime::Result<Arc<Mutex<PooledConnection>>> {
    Ok(access.get().table.get(connection)?.0.clone())
}
