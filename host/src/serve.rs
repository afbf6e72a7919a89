//! The accept loop: connections in, requests to [`respond`], and the end of both.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::Live;
use crate::respond::respond;

/// Longest wait for a request's headers: a client that sends them byte by byte holds a connection no longer.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until `stop` resolves, then lets requests in flight finish for at most `drain_timeout`.
pub(crate) async fn serve(
    live: Arc<Live>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    limits: Connections,
) {
    let open = Arc::new(Semaphore::new(limits.most));
    let connections = GracefulShutdown::new();
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // Most answers are so small that a copy costs less than to have the system gather head and body.
        .writev(false);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_TIMEOUT);

    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, permit) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &open) => accepted,
        };
        // Without this a small answer can wait 40 ms for the acknowledgement of the one before.
        _ = stream.set_nodelay(true);
        let live = live.clone();
        let began = Arc::new(AtomicBool::new(false));
        let seen = began.clone();
        let service = service_fn(move |request| {
            seen.store(true, Ordering::Relaxed);
            let live = live.clone();
            async move { Ok::<_, Infallible>(respond(&live, request, limits.send_timeout).await) }
        });
        let connection = server
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            // A client may also send nothing at all, which no timer of the server's notices.
            let ended = match tokio::time::timeout(HEADER_TIMEOUT, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) if began.load(Ordering::Relaxed) => connection.await,
                Err(_) => Ok(()),
            };
            if let Err(error) = ended {
                tracing::debug!("A connection ended early: {error}");
            }
            drop(permit);
        });
    }
    drop(listener);
    drain(connections, limits.drain_timeout).await;
}

/// Limits of the listener and its connections.
#[derive(Clone, Copy)]
pub(crate) struct Connections {
    /// Open at once.
    pub(crate) most: usize,
    /// How long a client may leave an answer unread.
    pub(crate) send_timeout: Duration,
    /// How long requests in flight may take at the end.
    pub(crate) drain_timeout: Duration,
}

async fn accept(
    listener: &TcpListener,
    open: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Never closed, so there always is one in the end.
    let permit = open.clone().acquire_owned().await.ok();
    loop {
        if let Some(stream) = accepted_or_pause(listener.accept().await).await {
            return (stream, permit);
        }
    }
}

/// The connection, or a pause before the next try: out of file descriptors, usually, and connections that end give
/// some back.
pub(crate) async fn accepted_or_pause(
    accepted: std::io::Result<(TcpStream, SocketAddr)>,
) -> Option<TcpStream> {
    match accepted {
        Ok((stream, _)) => Some(stream),
        Err(error) => {
            tracing::warn!("Can't accept a connection: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn drain(connections: GracefulShutdown, limit: Duration) {
    let open = connections.count();
    tracing::info!(connections = open, "Draining");
    if tokio::time::timeout(limit, connections.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("Requests still in flight after {limit:?} were cut off");
    }
}
