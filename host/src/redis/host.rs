//! The calls of `spin:redis`.

use std::sync::Arc;

use redis::aio::ConnectionManager;
use redis::{Cmd, FromRedisValue, Value};
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::values;
use crate::bindings::spin::redis::redis::{
    Error, Host, HostConnection, HostConnectionWithStore, Payload, RedisParameter, RedisResult,
};
use crate::context::Context;
use crate::state::State;

/// What a component holds: a handle on the one connection to an address.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Connection(ConnectionManager);

type Answer<T> = wasmtime::Result<Result<T, Error>>;

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
    ) -> Answer<Resource<Connection>> {
        accessor.with(|mut access| {
            let state = access.get();
            match connect(&state.component, &address) {
                Ok(connection) => Ok(Ok(state.table.push(Connection(connection))?)),
                Err(refusal) => Ok(Err(refusal)),
            }
        })
    }

    async fn publish(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        channel: String,
        payload: Payload,
    ) -> Answer<()> {
        run(
            accessor,
            connection,
            redis::cmd("PUBLISH").arg(channel).arg(payload),
        )
        .await
    }

    async fn get(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Answer<Option<Payload>> {
        run(accessor, connection, redis::cmd("GET").arg(key)).await
    }

    async fn set(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        key: String,
        value: Payload,
    ) -> Answer<()> {
        run(accessor, connection, redis::cmd("SET").arg(key).arg(value)).await
    }

    async fn incr(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Answer<i64> {
        run(accessor, connection, redis::cmd("INCR").arg(key)).await
    }

    async fn del(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        keys: Vec<String>,
    ) -> Answer<u32> {
        run(accessor, connection, redis::cmd("DEL").arg(keys)).await
    }

    async fn sadd(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Answer<u32> {
        run(
            accessor,
            connection,
            redis::cmd("SADD").arg(key).arg(values),
        )
        .await
    }

    async fn smembers(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Answer<Vec<String>> {
        run(accessor, connection, redis::cmd("SMEMBERS").arg(key)).await
    }

    async fn srem(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Answer<u32> {
        run(
            accessor,
            connection,
            redis::cmd("SREM").arg(key).arg(values),
        )
        .await
    }

    async fn execute(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Answer<Vec<RedisResult>> {
        let reply =
            run::<Value>(accessor, connection, &values::command(&command, arguments)).await?;
        Ok(reply.and_then(values::results))
    }
}

fn connect(component: &Context, address: &str) -> Result<ConnectionManager, Error> {
    // What was allowed once is allowed as long as this context lives.
    if let Some(connection) = component.redis.known(address) {
        return Ok(connection);
    }
    component
        .check_outbound(address, "redis")
        .map_err(Error::Other)?;
    let connection = component.redis.connect(address);
    connection.map_err(|_| Error::InvalidAddress)
}

async fn run<T: FromRedisValue>(
    accessor: &Accessor<State, HasSelf<State>>,
    connection: Resource<Connection>,
    command: &Cmd,
) -> Answer<T> {
    let (mut connection, component) = accessor.with(|mut access| {
        let state = access.get();
        wasmtime::error::Ok((
            state.table.get(&connection)?.0.clone(),
            state.component.clone(),
        ))
    })?;
    match command.query_async(&mut connection).await {
        Ok(reply) => Ok(Ok(reply)),
        Err(error) => Ok(Err(report(&component, &error))),
    }
}

fn report(component: &Arc<Context>, error: &redis::RedisError) -> Error {
    component.metrics.redis_error(&component.id);
    if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
        component.warn_of_outage(error);
    }
    values::error(error)
}
