//! One connection to Redis. It carries the commands of many requests at a time, and is opened again when it breaks.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError,
    RedisResult, Value,
};
use rustls::ClientConfig;
use store_server::trace::SharedDescription;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::capped::CappedStream;
use super::dial::Dialer;
use super::errors::{is_outage, is_read_only, not_sent, timed_out, too_large};
use super::limits::LinkLimits;
use super::link_target::{FailoverWatch, LinkTarget};
use super::near::NearCache;
use super::pins::Pin;
use super::scripts::ScriptEnder;
use crate::clients::{Asker, Permit, Permits};
use crate::config::HostPort;

/// The most commands of one connection, or of all to one Redis Cluster, that wait for a reply at a time. The limit is
/// needed because each reply may have the largest size, and counts against the memory limit only once it has arrived.
const COMMANDS_AT_ONCE: u32 = 64;

/// The number of the next connection of any link.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// A connection that is opened on demand, and again after it broke.
pub(crate) struct Link<T = HostPort> {
    target: T,
    dialer: Arc<Dialer>,
    info: RedisConnectionInfo,
    limits: LinkLimits,
    /// What spans say of the server.
    pub(super) description: SharedDescription,
    near: Option<Arc<NearCache>>,
    commands: Arc<Permits>,
    scripts: Arc<ScriptEnder>,
    /// The open connection. Set by the caller that connects, and emptied by a caller that finds the connection broken.
    open: Mutex<Option<OpenConnection>>,
    /// Locked by the caller that connects. Holds the error of the last attempt, for the callers that waited for it.
    connecting: tokio::sync::Mutex<Option<RedisError>>,
    /// The number of attempts to connect that have ended.
    attempts: AtomicU64,
    /// Set by [`Link::end`], and never taken back.
    has_ended: AtomicBool,
}

#[derive(Clone)]
struct OpenConnection {
    connection: MultiplexedConnection,
    /// The same for no two connections of the process.
    number: u64,
    driver: Arc<Driver>,
}

/// The task that drives a connection. It ends when the last user of the connection drops this.
struct Driver {
    task: AbortHandle,
    /// Ends the connection when another server becomes the primary.
    _watch: Option<FailoverWatch>,
    /// True if the connection ended because a reply was too large.
    is_over: Arc<AtomicBool>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T: LinkTarget> Link<T> {
    /// A link to `target`, with these TLS settings, user and limits. It connects when the first command is sent, so an
    /// unreachable server causes an error only then. Redis's pushes go to `near`.
    pub(super) fn over(
        tls: Option<Arc<ClientConfig>>,
        target: T,
        mut info: RedisConnectionInfo,
        limits: LinkLimits,
        near: Option<Arc<NearCache>>,
    ) -> Self {
        let dialer = Arc::new(Dialer::new(tls));
        let scripts = ScriptEnder::new(dialer.clone(), target.address(), &info, &limits);
        if near.is_some() {
            // The older protocol RESP2 has no pushes.
            info = info.set_protocol(ProtocolVersion::RESP3);
        }
        Self {
            target,
            dialer,
            description: SharedDescription::default(),
            info,
            limits,
            near,
            commands: permits(),
            scripts,
            open: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            attempts: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        }
    }

    /// The same link, whose commands take these permits.
    pub(super) fn sharing(self, commands: Arc<Permits>) -> Self {
        Self { commands, ..self }
    }

    /// Sends a command for `asker` and waits for the reply. A command that a server refused because it takes no writes
    /// is sent once more, if no connection has answered its handle yet.
    ///
    /// # Errors
    /// Redis answers with an error, or not at all, or another connection has answered the handle before.
    pub(super) async fn run(
        &self,
        command: &Cmd,
        asker: Asker,
        pin: Pin<'_>,
    ) -> RedisResult<Value> {
        let _permit = self.permit(asker).await?;
        let (open, is_new) = self.open().await?;
        let reply = self.send(&open, command, pin).await;
        match reply {
            // The command was refused, so it may be sent again. On a new connection, the name may lead to the new
            // primary. A script of a component can write and then return such an error itself. It is then executed
            // twice, which only that component feels: Redis refuses a script at its first write, so an honest one has
            // written nothing.
            Err(error) if is_read_only(&error) && !is_new && pin.is_free() => {
                let (open, _) = self.open().await?;
                self.send(&open, command, pin).await
            }
            reply => reply,
        }
    }

    /// As [`Link::run`], but sends the command once.
    ///
    /// # Errors
    /// As for [`Link::run`]; or the link has ended, see [`was_not_sent`](super::errors::was_not_sent).
    pub(super) async fn run_once(
        &self,
        command: &Cmd,
        asker: Asker,
        pin: Pin<'_>,
    ) -> RedisResult<Value> {
        let _permit = self.permit(asker).await?;
        let (open, _) = self.open().await?;
        self.send(&open, command, pin).await
    }

    async fn send(&self, open: &OpenConnection, command: &Cmd, pin: Pin<'_>) -> RedisResult<Value> {
        pin.check(open.number)?;
        let script = self.scripts.watch(command);
        let reply = command.query_async(&mut open.connection.clone()).await;
        if let Some(script) = script
            && !reply.as_ref().is_err_and(is_outage)
        {
            script.answered();
        }
        let reply = self.look_at(open, reply)?;
        pin.fix(open.number)?;
        Ok(reply)
    }

    /// Asks for the value of `key`, to keep it near.
    ///
    /// # Errors
    /// As for [`NearCache::ask`].
    pub(super) async fn ask_near(
        &self,
        near: &NearCache,
        key: &str,
        asker: Asker,
        pin: Pin<'_>,
    ) -> RedisResult<Option<Vec<u8>>> {
        let _permit = self.permit(asker).await?;
        let (open, _) = self.open().await?;
        pin.check(open.number)?;
        let reply = near.ask(&mut open.connection.clone(), key).await;
        if self.has_ended() {
            // The value may have been kept after the link had ended, and no change of it is reported any more.
            near.forget_all();
            return Err(not_sent());
        }
        let reply = self.look_at(&open, reply)?;
        pin.fix(open.number)?;
        Ok(reply)
    }

    /// Ends the connection and all commands that wait on it, because its server must not be used any more. The link
    /// opens no other.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        if let Some(open) = self.open.lock().take() {
            open.driver.task.abort();
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    pub(super) fn near(&self) -> Option<&Arc<NearCache>> {
        self.near.as_ref()
    }

    pub(super) fn response_timeout(&self) -> Duration {
        self.limits.response_timeout
    }

    async fn permit(&self, asker: Asker) -> RedisResult<Permit> {
        let permit = self.commands.wait(asker, self.limits.response_timeout);
        let permit = permit.await;
        permit.ok_or_else(|| timed_out("others wait for Redis already"))
    }

    /// The connection, and whether it was opened for this call.
    async fn open(&self) -> RedisResult<(OpenConnection, bool)> {
        if let Some(open) = self.ready()? {
            return Ok((open, false));
        }
        let attempts = self.attempts.load(Ordering::Acquire);
        let mut last = self.connecting.lock().await;
        if let Some(open) = self.ready()? {
            return Ok((open, false));
        }
        if attempts != self.attempts.load(Ordering::Acquire)
            && let Some(error) = &*last
        {
            // All callers that waited for one attempt share its error. If each of them tried in turn, the last one
            // would wait far too long.
            return Err(error.clone());
        }
        let made = self.connect().await;
        self.attempts.fetch_add(1, Ordering::Release);
        *last = made.as_ref().err().cloned();
        let open = made?;
        let mut current = self.open.lock();
        // Asked under the lock: a link that ends later ends this connection too.
        if self.has_ended() {
            return Err(not_sent());
        }
        *current = Some(open.clone());
        Ok((open, true))
    }

    /// The connection, if there is one.
    ///
    /// # Errors
    /// The link has ended.
    fn ready(&self) -> RedisResult<Option<OpenConnection>> {
        let open = self.open.lock();
        if self.has_ended() {
            return Err(not_sent());
        }
        let open = open.as_ref();
        Ok(open.filter(|open| !open.driver.task.is_finished()).cloned())
    }

    async fn connect(&self) -> RedisResult<OpenConnection> {
        let limit = self.limits.connect_timeout;
        let silent = |_| timed_out(self.dialer.silence());
        let server = self.target.find().await?;
        let stream = timeout(limit, self.dialer.open(&server))
            .await
            .map_err(silent)??;
        self.scripts.lead_to(&server);
        let (stream, is_over) = CappedStream::new(stream, self.limits.largest_reply_bytes);
        let mut config =
            AsyncConnectionConfig::new().set_response_timeout(Some(self.limits.response_timeout));
        if let Some(near) = self.near.clone() {
            near.forget_all();
            config = config.set_push_sender(move |push: PushInfo| {
                near.heard(&push);
                Ok::<_, Infallible>(())
            });
        }
        let handshake = MultiplexedConnection::new_with_config(&self.info, stream, config);
        let (connection, driver) = timeout(limit, handshake).await.map_err(silent)??;
        let task = tokio::spawn(driver).abort_handle();
        let driver = Driver {
            _watch: self.target.watch(server, task.clone(), self.near.clone()),
            task,
            is_over,
        };
        Ok(OpenConnection {
            connection,
            number: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            driver: Arc::new(driver),
        })
    }

    /// Drops the connection if the reply shows that the connection is lost, that the server is silent, or that it takes
    /// no writes any more. Other callers on the connection will see errors of their own.
    fn look_at<R>(&self, open: &OpenConnection, reply: RedisResult<R>) -> RedisResult<R> {
        let Err(error) = reply else { return reply };
        if is_outage(&error) || is_read_only(&error) {
            let mut current = self.open.lock();
            if current
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(&current.driver, &open.driver))
            {
                *current = None;
            }
            drop(current);
            if let Some(near) = &self.near {
                // Without the connection, no change is reported any more.
                near.forget_all();
            }
        }
        if open.driver.is_over.load(Ordering::Acquire) {
            return Err(too_large(self.limits.largest_reply_bytes));
        }
        Err(error)
    }
}

/// The permits for the commands of a link, or of several together.
pub(super) fn permits() -> Arc<Permits> {
    Permits::shared(COMMANDS_AT_ONCE)
}
