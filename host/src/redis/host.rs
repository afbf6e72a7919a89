//! The calls of `spin:redis`.

use std::sync::Arc;

use redis::{Arg, Cmd, FromRedisValue, RedisError, RedisResult as Reply, Value};
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::{Connection, is_outage, values};
use crate::bindings::spin::redis::redis::{
    Error, Host, HostConnection, HostConnectionWithStore, Payload, RedisParameter, RedisResult,
};
use crate::context::Context;
use crate::state::State;

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
                Ok(connection) => Ok(Ok(state.table.push(connection)?)),
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
        if let Some(bytes) = kept(accessor, &connection, &key)? {
            return Ok(Ok(Some(bytes)));
        }
        // In a box: what few calls come to would make all of them large.
        Box::pin(get(accessor, connection, key)).await
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
        let command = values::command(&command, arguments);
        let reply = run::<Value>(accessor, connection, &command).await?;
        Ok(reply.and_then(values::results))
    }
}

fn connect(component: &Context, address: &str) -> Result<Connection, Error> {
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

/// The value of `key`, if it is kept near.
fn kept(
    accessor: &Accessor<State, HasSelf<State>>,
    connection: &Resource<Connection>,
    key: &str,
) -> wasmtime::Result<Option<Payload>> {
    accessor.with(|mut access| {
        let state = access.get();
        let near = state.table.get(connection)?.near.as_ref();
        let bytes = near.and_then(|near| near.kept(key));
        if bytes.is_some() {
            state.component.redis.near_metrics.hits.inc();
        }
        Ok(bytes)
    })
}

/// The value of `key` as Redis has it, to be kept near if the component asks for that.
async fn get(
    accessor: &Accessor<State, HasSelf<State>>,
    connection: Resource<Connection>,
    key: String,
) -> Answer<Option<Payload>> {
    let (mut held, component) = held(accessor, &connection)?;
    if let Some(near) = &held.near
        && component.redis.keeps_near(key.as_bytes())
    {
        component.redis.near_metrics.misses.inc();
        match near.ask(&mut held.manager, &key).await {
            // It tells of no changes, or not us; or the key holds something else, which the command itself shall say.
            Err(error) if !is_outage(&error) => {
                component.warn_of_near_refusal(&error);
            }
            reply => return Ok(answer(&component, reply)),
        }
    }
    let mut command = redis::cmd("GET");
    let reply = command.arg(key).query_async(&mut held.manager).await;
    Ok(answer(&component, reply))
}

fn held(
    accessor: &Accessor<State, HasSelf<State>>,
    connection: &Resource<Connection>,
) -> wasmtime::Result<(Connection, Arc<Context>)> {
    accessor.with(|mut access| {
        let state = access.get();
        let connection = state.table.get(connection)?.clone();
        Ok((connection, state.component.clone()))
    })
}

/// Sends a command, which may change what is kept near: whoever changed a value must find it changed, and the news of it
/// may come after the reply.
async fn run<T: FromRedisValue>(
    accessor: &Accessor<State, HasSelf<State>>,
    connection: Resource<Connection>,
    command: &Cmd,
) -> Answer<T> {
    let (mut connection, component) = held(accessor, &connection)?;
    let reply = command.query_async(&mut connection.manager).await;
    if let Some(near) = &connection.near {
        let mut arguments = command.args_iter();
        let names_one =
            |argument| matches!(argument, Arg::Simple(bytes) if component.redis.keeps_near(bytes));
        if arguments.any(names_one) {
            near.forget_all();
        }
    }
    Ok(answer(&component, reply))
}

fn answer<T>(component: &Arc<Context>, reply: Reply<T>) -> Result<T, Error> {
    reply.map_err(|error| report(component, &error))
}

fn report(component: &Arc<Context>, error: &RedisError) -> Error {
    component.metrics.redis_error(&component.id);
    if is_outage(error) {
        component.warn_of_outage(error);
    }
    values::error(error)
}
