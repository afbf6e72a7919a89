//! The functions of `spin:redis`.

use std::sync::Arc;

use redis::{Arg, Cmd, FromRedisValue, RedisError, Value};
use store_server::trace::{Ids, Kind as SpanKind, Span, Trace};
use wasmtime::AsContextMut;
use wasmtime::component::{Accessor, HasSelf, Linker, Resource};

use super::cluster::is_elsewhere;
use super::errors::{is_of_ended_handle, is_outage, is_too_large};
use super::pins::Pins;
use super::{Connection, Connections, Links, commands, is_unknown, values};
use crate::clients::Asker;
use crate::instance::bindings::spin::redis::redis::{
    self as wit, Error, Host, HostConnection, HostConnectionWithStore, Payload, RedisParameter,
    RedisResult,
};
use crate::instance::{Context, HeldBytes, MemoryShare, Requester, State, opener, requester};
use crate::metrics::Refusal;
use crate::outbound::{Kind, TOO_MANY};

/// The refusal of a command of a request that has read stale data.
const STALE: &str =
    "this request has read data from MySQL that may be stale, so it may not use Redis any more";

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// Adds `spin:redis` to the linker.
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
    ) -> Answer<Resource<Connection>> {
        accessor.with(|mut access| {
            let opener = opener(&mut access.as_context_mut())?;
            let state = access.get();
            let trace = &opener.trace;
            match link(&state.component, &state.redis, &address, trace) {
                Ok(link) => {
                    let connection = Connection {
                        link,
                        pins: Arc::default(),
                        client: opener.client,
                        trace: opener.trace.downgrade(),
                    };
                    Ok(Ok(state.table.push(connection)?))
                }
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
        run(accessor, connection, "PUBLISH", |command| {
            command.arg(channel).arg(payload)
        })
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
        // Boxed, because few calls get here and each of them has a large future.
        Box::pin(get(accessor, connection, key)).await
    }

    async fn set(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        key: String,
        value: Payload,
    ) -> Answer<()> {
        run(accessor, connection, "SET", |command| {
            command.arg(key).arg(value)
        })
        .await
    }

    async fn incr(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Answer<i64> {
        run(accessor, connection, "INCR", |command| command.arg(key)).await
    }

    async fn del(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        keys: Vec<String>,
    ) -> Answer<u32> {
        run(accessor, connection, "DEL", |command| command.arg(keys)).await
    }

    async fn sadd(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Answer<u32> {
        run(accessor, connection, "SADD", |command| {
            command.arg(key).arg(values)
        })
        .await
    }

    async fn smembers(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Answer<Vec<String>> {
        run(accessor, connection, "SMEMBERS", |command| command.arg(key)).await
    }

    async fn srem(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Answer<u32> {
        run(accessor, connection, "SREM", |command| {
            command.arg(key).arg(values)
        })
        .await
    }

    async fn execute(
        accessor: &Accessor<State, Self>,
        connection: Resource<Connection>,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Answer<Vec<RedisResult>> {
        let allowed = commands::check(&command, arguments.iter().map(values::bytes));
        let name = match allowed {
            Ok(name) => name,
            Err(refusal) => {
                let call = Call::on(accessor, &connection)?;
                return Ok(Err(call.refuse(Refusal::Command, refusal)));
            }
        };
        let reply = run::<Value>(accessor, connection, name, |command| {
            values::put(arguments, command)
        });
        Ok(reply.await?.and_then(values::results))
    }
}

/// The one connection to `address`, if the component may connect to it. `trace` is that of the request for which it
/// asks.
fn link(
    component: &Context,
    connections: &Connections,
    address: &str,
    trace: &Trace,
) -> Result<Arc<Links>, Error> {
    // If there is a link for the address, the address was allowed when the link was made, and one context never changes
    // what it allows.
    if let Some(link) = connections.get(address) {
        return Ok(link);
    }
    let backend = component.check_outbound(address, Kind::Redis, trace.ids());
    let backend = backend.map_err(Error::Other)?;
    match connections.get_or_make(&component.redis, address, &backend) {
        Ok(Some(link)) => Ok(link),
        Ok(None) => {
            let ids = trace.ids();
            Err(refuse(component, Refusal::Pools, TOO_MANY.into(), ids))
        }
        Err(reason) => Err(Error::Other(reason)),
    }
}

fn refuse(component: &Context, refusal: Refusal, reason: String, ids: Option<Ids>) -> Error {
    component.note_refusal(refusal, &reason, ids);
    Error::Other(reason)
}

/// The value of `key`, if the host keeps it near and still trusts it.
fn kept(
    accessor: &Accessor<State, HasSelf<State>>,
    connection: &Resource<Connection>,
    key: &str,
) -> wasmtime::Result<Option<Payload>> {
    accessor.with(|mut access| {
        let state = access.get();
        let near = state.table.get(connection)?.link.near();
        let bytes = near.and_then(|near| near.kept(key));
        if bytes.is_some() {
            state.component.redis.near_metrics.hits.inc();
        }
        Ok(bytes)
    })
}

/// Asks Redis for the value of `key`. If the component wants values of this key kept near, the host keeps this one.
/// Redis is not asked for a request that has read stale data.
async fn get(
    accessor: &Accessor<State, HasSelf<State>>,
    connection: Resource<Connection>,
    key: String,
) -> Answer<Option<Payload>> {
    let call = Call::on(accessor, &connection)?;
    let (link, component) = (&call.link, &call.component);
    if !call.reads_stale
        && let Some(near) = link.near()
        && component.redis.keeps_near(key.as_bytes())
    {
        component.redis.near_metrics.misses.inc();
        let span = call.span("GET");
        let reply = link.ask_near(near, &key, call.asker, &call.pins).await;
        ended(span, &reply);
        match reply {
            // A plain GET returns the value or the right error.
            Err(error) if is_near_refusal(&error) => {
                component.warn_of_near_refusal(&error, call.trace.ids());
            }
            reply => return Ok(call.take_near(reply).await),
        }
    }
    let reply = call.run("GET", redis::cmd("GET").arg(key)).await;
    Ok(reply)
}

/// Whether Redis can't report changes, or the key holds no string. After another error, a plain GET would fail for the
/// same reason.
fn is_near_refusal(error: &RedisError) -> bool {
    let is_of_a_cluster = is_elsewhere(error) || error.is_cluster_error();
    !is_outage(error) && !is_too_large(error) && !is_of_a_cluster
}

/// Sends the command `name` with its arguments. If it has a key whose values are kept near, it may change such a value,
/// and Redis may report the change after the reply. So all values are forgotten, and the component never reads the old
/// one after its own write.
async fn run<T: FromRedisValue>(
    accessor: &Accessor<State, HasSelf<State>>,
    connection: Resource<Connection>,
    name: &'static str,
    arguments: impl FnOnce(&mut Cmd) -> &mut Cmd,
) -> Answer<T> {
    let call = Call::on(accessor, &connection)?;
    let mut command = redis::cmd(name);
    arguments(&mut command);
    let reply = call.run(name, &command).await;
    if let Some(near) = call.link.near() {
        let mut arguments = command.args_iter();
        let names_one = |argument| matches!(argument, Arg::Simple(bytes) if call.component.redis.keeps_near(bytes));
        if arguments.any(names_one) {
            near.forget_all();
        }
    }
    Ok(reply)
}

/// Ends the span of a round trip. A failed one gets Redis's error code.
fn ended<T>(mut span: Span, reply: &redis::RedisResult<T>) {
    if let (true, Err(error)) = (span.is_on(), reply) {
        if let Some(code) = error.code() {
            span.set("db.response.status_code", code.to_owned());
        }
        let why = error.code().unwrap_or_else(|| error.category());
        span.fail(why.to_owned());
    }
}

impl Connection {
    /// The requester for whom the connection was opened.
    fn opener(&self) -> Requester {
        Requester {
            client: self.client,
            trace: self.trace.upgrade(),
            reads_stale: false,
        }
    }
}

/// What one command of an instance needs.
struct Call {
    link: Arc<Links>,
    pins: Arc<Pins>,
    asker: Asker,
    trace: Trace,
    reads_stale: bool,
    component: Arc<Context>,
    share: MemoryShare,
}

impl Call {
    /// Collects what the command needs. Must be called before the first await: after that, wasmtime no longer knows
    /// which request the guest works for.
    fn on(
        accessor: &Accessor<State, HasSelf<State>>,
        connection: &Resource<Connection>,
    ) -> wasmtime::Result<Self> {
        accessor.with(|mut access| {
            let requester = requester(&mut access.as_context_mut())?;
            let state = access.get();
            let connection = state.table.get(connection)?;
            let requester = requester.unwrap_or_else(|| connection.opener());
            Ok(Self {
                link: connection.link.clone(),
                pins: connection.pins.clone(),
                asker: requester.client,
                trace: requester.trace,
                reads_stale: requester.reads_stale,
                component: state.component.clone(),
                share: state.share.clone(),
            })
        })
    }

    /// Sends a command. Command and reply count against the instance's memory share. A request that has read stale data
    /// could write it to Redis, where it would pass for the truth, so none of its commands is sent.
    async fn run<T: FromRedisValue>(&self, name: &'static str, command: &Cmd) -> Result<T, Error> {
        if self.reads_stale {
            return Err(Error::Other(STALE.into()));
        }
        let _sent = self.hold(values::command_weight(command)).await?;
        let span = self.span(name);
        let reply = self.link.run(command, self.asker, &self.pins).await;
        ended(span, &reply);
        let reply = reply.map_err(|error| self.report(&error))?;
        let _received = self.hold(values::weight(&reply)).await?;
        T::from_redis_value(reply).map_err(|error| self.report(&error.into()))
    }

    /// Returns a value that is now kept near. Its bytes count like those of any other reply.
    async fn take_near(
        &self,
        reply: redis::RedisResult<Option<Payload>>,
    ) -> Result<Option<Payload>, Error> {
        let value = reply.map_err(|error| self.report(&error))?;
        let bytes = value.as_ref().map_or(0, Vec::len);
        let _received = self.hold(bytes).await?;
        Ok(value)
    }

    /// The span of one round trip.
    fn span(&self, command: &'static str) -> Span {
        let mut span = self.trace.span(command, SpanKind::Client);
        if span.is_on() {
            span.set("db.operation.name", command);
            span.share(self.link.description());
        }
        span
    }

    async fn hold(&self, bytes: usize) -> Result<HeldBytes, Error> {
        let held = self.share.hold(bytes, self.link.response_timeout()).await;
        held.map_err(|error| self.refuse(error.refusal(), error.to_string()))
    }

    fn refuse(&self, refusal: Refusal, reason: String) -> Error {
        refuse(&self.component, refusal, reason, self.trace.ids())
    }

    fn report(&self, error: &RedisError) -> Error {
        let component = &self.component;
        if is_too_large(error) {
            return self.refuse(Refusal::Size, error.to_string());
        }
        if is_of_ended_handle(error) {
            return values::error(error);
        }
        component.metrics.redis_error(&component.id);
        if is_outage(error) || is_unknown(error) || is_elsewhere(error) {
            component.warn_of_outage(error, self.trace.ids());
        }
        values::error(error)
    }
}
