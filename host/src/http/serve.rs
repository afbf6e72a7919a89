//! The accept loop: it accepts connections, hands their requests to [`respond`], and ends both on shutdown.

use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use store_server::trace::Tracing;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::downstream::{Downstream, Times};
use super::farewell::Farewells;
use super::heads;
use super::refusals::{Refusals, connection};
use super::respond::{Peer, respond};
use crate::app::{LiveApp, Readiness};
use crate::clients::{Clients, Share};
use crate::message::head;

/// The longest wait for a request's head, so a client that sends it byte by byte can't hold a connection longer. An
/// unused connection is closed after this time; between two requests that may take up to twice as long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// The most requests that a client may have open on one HTTP/2 connection. Clients hold further requests back.
const MAX_STREAMS: u32 = 200;

/// During shutdown, an HTTP/2 connection without a request is closed after this time, even if its client has not
/// acknowledged the GOAWAY: a request may still be on its way.
const GOAWAY_GRACE: Duration = Duration::from_secs(1);

/// During shutdown, an HTTP/2 connection is closed this long after its last answer, which may still be on its way.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// During shutdown, the pause between two checks whether a connection is used.
const LOOK: Duration = Duration::from_millis(50);

/// What all connections share.
pub(crate) struct Server {
    pub(crate) live: Arc<LiveApp>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) readiness: Readiness,
    pub(crate) tracing: Tracing,
    /// The most connections that may be open at once.
    pub(crate) max_connections: usize,
    /// How long a client may take to send a body; also a head, if this is shorter than [`HEADER_TIMEOUT`].
    pub(crate) receive_timeout: Duration,
    /// How long a client may leave an answer unread.
    pub(crate) send_timeout: Duration,
    /// How long requests in flight may take after shutdown has begun.
    pub(crate) drain_timeout: Duration,
}

/// Serves until `stop` resolves, then lets requests in flight finish.
pub(crate) async fn serve(
    server: Arc<Server>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) {
    let open = Arc::new(Semaphore::new(server.max_connections));
    let connections = Connections {
        server,
        http: http(),
        watched: GracefulShutdown::new(),
        stopped: CancellationToken::new(),
    };
    let (server, stopped) = (&connections.server, &connections.stopped);
    let farewells = Farewells::new(server.refusals.clone(), stopped.clone());
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, address, permit) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &open) => accepted,
        };
        let client = server.clients.at(address.ip());
        let is_trusted = server.clients.trusts(address.ip());
        let share = client.connect();
        if share.is_none() && !is_trusted {
            // A refused connection must not take the place of one that can be served.
            drop(permit);
            farewells.begin(stream, client.address(), connections.watched.watcher());
            continue;
        }
        let peer = Arc::new(Peer { client, is_trusted });
        connections.begin(stream, address.ip(), peer, (share, permit));
    }
    drop(listener);
    stopped.cancel();
    drain(connections.watched, connections.server.drain_timeout).await;
}

/// All served connections, and what serves them.
struct Connections {
    server: Arc<Server>,
    http: auto::Builder<TokioExecutor>,
    watched: GracefulShutdown,
    /// Cancelled when shutdown begins.
    stopped: CancellationToken,
}

impl Connections {
    /// Serves one more connection in a task of its own, which holds `places` until the connection ends.
    fn begin(
        &self,
        stream: TcpStream,
        address: IpAddr,
        peer: Arc<Peer>,
        places: (Option<Share>, Option<OwnedSemaphorePermit>),
    ) {
        // Without this, a small answer can wait 40 ms for the acknowledgement of the one before.
        _ = stream.set_nodelay(true);
        let server = &self.server;
        let used = Arc::new(ConnectionUse::default());
        let service = service_fn({
            let (server, used) = (server.clone(), used.clone());
            move |request: Request<Incoming>| {
                let (server, peer) = (server.clone(), peer.clone());
                let in_use = used.enter(request.version());
                async move { Ok::<_, Infallible>(respond(&server, &peer, request, in_use).await) }
            }
        });
        let stream = Downstream::new(
            stream,
            address,
            server.refusals.clone(),
            Times {
                receive: server.receive_timeout.min(HEADER_TIMEOUT),
                send: server.send_timeout,
            },
            used.clone(),
        );
        let connection = self
            .http
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = self.watched.watch(connection);
        let (server, stopped) = (server.clone(), self.stopped.clone());
        tokio::spawn(async move {
            // Idleness is watched in another task, because the connection's task is woken often and this check hardly
            // ever is.
            let mut unused = JoinSet::new();
            unused.spawn(async move { used.ends(&stopped).await });
            let ended = tokio::select! {
                biased;
                ended = connection => ended,
                _ = unused.join_next() => Ok(()),
            };
            if let Err(error) = ended {
                report(&server.refusals, address, &*error);
            }
            drop(places);
        });
    }
}

pub(super) fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // [`Downstream`] has this time limit, because it can answer a late head.
        .header_read_timeout(None)
        .max_buf_size(heads::MOST_BYTES)
        // Most answers are small: copying head and body together costs less than a vectored write.
        .writev(false);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(head::READ_BYTES);
    http
}

/// Whether and how a connection is used.
#[derive(Default)]
pub(crate) struct ConnectionUse {
    /// Whether a request has come.
    began: AtomicBool,
    is_http_2: AtomicBool,
    /// Whether a head or a request has come, or an answer has ended, since the last check.
    is_recent: AtomicBool,
    /// The number of unanswered requests. [`ActiveRequest`] changes it.
    requests: AtomicUsize,
}

/// One request on a connection, until its answer has ended.
pub(crate) struct ActiveRequest {
    connection: Arc<ConnectionUse>,
    /// When the request's head was there.
    pub(crate) began: Instant,
}

impl ConnectionUse {
    fn enter(self: &Arc<Self>, version: Version) -> ActiveRequest {
        let is_http_2 = version == Version::HTTP_2;
        self.is_http_2.store(is_http_2, Ordering::Relaxed);
        self.began.store(true, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.touch();
        ActiveRequest {
            connection: self.clone(),
            began: Instant::now(),
        }
    }

    /// Records that the connection is in use.
    pub(crate) fn touch(&self) {
        self.is_recent.store(true, Ordering::Relaxed);
    }

    /// Whether nothing has happened since the last call. HTTP/2 connections never count as idle: pings find out whether
    /// their clients are there.
    fn is_idle(&self) -> bool {
        let is_recent = self.is_recent.swap(false, Ordering::Relaxed);
        let is_asked = self.is_http_2.load(Ordering::Relaxed);
        !is_recent && !is_asked && self.requests.load(Ordering::Relaxed) == 0
    }

    /// Resolves when the connection must be closed though hyper would leave it open: when no request has come in time,
    /// or during shutdown when nothing is left to be answered.
    async fn ends(&self, stopped: &CancellationToken) {
        let began = || self.began.load(Ordering::Relaxed);
        while timeout(HEADER_TIMEOUT, stopped.cancelled()).await.is_err() {
            if self.is_idle() {
                return;
            }
        }
        let (mut idle_since, mut grace) = (Instant::now(), GOAWAY_GRACE);
        while idle_since.elapsed() < grace {
            let is_over = !began() || self.is_http_2.load(Ordering::Relaxed);
            // Hyper itself closes an HTTP/1.1 connection as soon as nothing is left to be answered.
            if self.requests.load(Ordering::Relaxed) > 0 || !is_over {
                (idle_since, grace) = (Instant::now(), ANSWER_GRACE);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.connection.touch();
        self.connection.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reports why a connection ended, unless its client just left. A head that hyper answers with a refusal is reported in
/// [`Downstream`].
fn report(refusals: &Refusals, client: IpAddr, error: &(dyn Error + 'static)) {
    tracing::debug!(%client, "A connection ended early: {error}");
    let Some(error) = error.downcast_ref::<hyper::Error>() else {
        return;
    };
    // An HTTP/2 client that doesn't answer pings has left as well.
    let is_leave = error.is_canceled()
        || error.is_timeout()
        || error.is_closed()
        || error.is_incomplete_message()
        || error.is_body_write_aborted()
        || error.is_user()
        || error
            .source()
            .is_some_and(|cause| cause.is::<std::io::Error>());
    if !is_leave && !error.is_parse() {
        refusals.connection(connection::PROTOCOL, client);
    }
}

async fn accept(
    listener: &TcpListener,
    open: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so this waits until there is a permit.
    let permit = open.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, address, permit),
            Err(error) => {
                // Usually the process is out of file descriptors, and connections that end give some back.
                tracing::warn!("Can't accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn drain(connections: GracefulShutdown, limit: Duration) {
    let open = connections.count();
    tracing::info!(connections = open, "Draining");
    if timeout(limit, connections.shutdown()).await.is_err() {
        tracing::warn!("Requests still in flight after {limit:?} were cut off");
    }
}
