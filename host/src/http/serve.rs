//! The accept loop: it accepts connections, hands their requests to [`respond`], and ends both on shutdown.

use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connection_use::ConnectionUse;
use super::downstream::Downstream;
use super::farewell::Farewells;
use super::hyper_settings;
use super::refusals::{Refusals, connection};
use super::respond::{Peer, respond};
use super::server::Server;
use crate::clients::Share;

/// Serves until `stop` resolves, then lets requests in flight finish.
pub(crate) async fn serve(
    server: Arc<Server>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) {
    let open = Arc::new(Semaphore::new(server.max_connections));
    let connections = Connections {
        server,
        http: hyper_settings::http(),
        watched: GracefulShutdown::new(),
        stopped: CancellationToken::new(),
    };
    let (server, stopped) = (&connections.server, &connections.stopped);
    let farewells = Farewells::new(server.refusals.clone(), stopped.clone());
    let mut stop = pin!(stop);
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
            server.times(),
            used.clone(),
        );
        let connection = self
            .http
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let watcher = self.watched.watcher();
        let (server, stopped) = (server.clone(), self.stopped.clone());
        tokio::spawn(async move {
            let ended = until_end(connection, used, server.idle_timeout, stopped).await;
            if let Err(error) = ended {
                report(&server.refusals, address, &*error);
            }
            drop((places, watcher));
        });
    }
}

/// Serves a connection until it ends by itself, or is to end because it is idle or because shutdown begins. Then its
/// client is told first.
///
/// # Errors
/// Why the connection ended early.
async fn until_end<C: GracefulConnection>(
    connection: C,
    used: Arc<ConnectionUse>,
    idle_timeout: Duration,
    stopped: CancellationToken,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    // Idleness is watched in another task, because the connection's task is woken often and this check hardly ever is.
    let mut watch = JoinSet::new();
    watch.spawn({
        let used = used.clone();
        async move { used.is_to_end(idle_timeout, &stopped).await }
    });
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        _ = watch.join_next() => {}
    }
    connection.as_mut().graceful_shutdown();
    watch.spawn(async move { used.is_over().await });
    tokio::select! {
        biased;
        ended = connection => ended,
        _ = watch.join_next() => Ok(()),
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
