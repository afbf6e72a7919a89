//! Connections to one upstream for requests that take the direct way, kept while they are idle.

use std::io;
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The idle connections to one upstream.
pub(crate) struct Connections {
    idle: Mutex<IdleConnections>,
    limit: usize,
    idle_timeout: Duration,
}

#[derive(Default)]
struct IdleConnections {
    /// In the order in which they were given back.
    kept: Vec<IdleConnection>,
    /// Whether a task closes connections that are too old.
    is_swept: bool,
}

/// A connection without a request.
struct IdleConnection {
    stream: TcpStream,
    since: Instant,
    /// The thread that the connection is used on. Waking another thread's task costs more.
    thread: ThreadId,
}

/// A connection with a request.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// Whether the connection has served another request before.
    pub(crate) reused: bool,
}

impl Connections {
    /// Keeps up to `limit` connections, each for `idle_timeout` at most.
    pub(super) fn new(limit: usize, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::default(),
            limit,
            idle_timeout,
        })
    }

    /// The connection that was used last, if one still seems to be open.
    pub(super) fn take(&self) -> Option<Connection> {
        let thread = thread::current().id();
        let mut idle = self.idle.lock();
        loop {
            let last = idle.kept.iter().rposition(|kept| kept.thread == thread)?;
            let IdleConnection { stream, since, .. } = idle.kept.remove(last);
            if since.elapsed() < self.idle_timeout && is_quiet(&stream) {
                let reused = true;
                return Some(Connection { stream, reused });
            }
        }
    }

    /// Keeps a connection for another request.
    pub(crate) fn keep(self: &Arc<Self>, connection: Connection) {
        if self.idle_timeout.is_zero() {
            return;
        }
        let mut idle = self.idle.lock();
        if idle.kept.len() >= self.limit {
            idle.kept.remove(0);
        }
        idle.kept.push(IdleConnection {
            stream: connection.stream,
            since: Instant::now(),
            thread: thread::current().id(),
        });
        if !std::mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.idle_timeout));
        }
    }

    /// Closes connections that are too old or that the upstream has closed. Returns whether any are left.
    fn close_old(&self) -> bool {
        let mut idle = self.idle.lock();
        let limit = self.idle_timeout;
        idle.kept
            .retain(|kept| kept.since.elapsed() < limit && is_quiet(&kept.stream));
        idle.is_swept = !idle.kept.is_empty();
        idle.is_swept
    }
}

/// Closes old connections until none is left or `connections` is dropped.
async fn sweep(connections: Weak<Connections>, idle_timeout: Duration) {
    loop {
        sleep(idle_timeout).await;
        match connections.upgrade() {
            Some(connections) if connections.close_old() => {}
            _ => return,
        }
    }
}

/// Whether the upstream has sent nothing, not even the end of the connection.
fn is_quiet(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Opens a connection.
///
/// # Errors
/// No connection could be made within `limit`.
pub(super) async fn open(address: std::net::SocketAddr, limit: Duration) -> io::Result<Connection> {
    let stream = timeout(limit, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    let reused = false;
    Ok(Connection { stream, reused })
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Both ends of a connection.
    async fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (opened, accepted) = tokio::join!(open(address, LONG), listener.accept());
        (opened.expect("opened"), accepted.expect("accepted").0)
    }

    /// Waits until this end of the connection has noticed what the other end did.
    async fn noticed(connections: &Connections) {
        let idle = connections.idle.lock().kept.pop().expect("one");
        idle.stream.readable().await.expect("readable");
        connections.idle.lock().kept.push(idle);
    }

    #[tokio::test]
    async fn the_connection_that_was_used_last_is_used_again() {
        let connections = Connections::new(2, LONG);
        assert!(connections.take().is_none());
        let mut ports = Vec::new();
        let mut others = Vec::new();
        for _ in 0..3 {
            let (connection, other) = pair().await;
            assert!(!connection.reused);
            ports.push(connection.stream.local_addr().expect("an address"));
            others.push(other);
            connections.keep(connection);
        }
        for port in ports[1..].iter().rev() {
            let connection = connections.take().expect("kept");
            assert!(connection.reused);
            assert_eq!(connection.stream.local_addr().expect("an address"), *port);
        }
        assert!(connections.take().is_none(), "more than the limit");
    }

    #[tokio::test]
    async fn what_was_closed_or_spoke_unasked_is_not_used_again() {
        let connections = Connections::new(2, LONG);
        let (connection, other) = pair().await;
        connections.keep(connection);
        drop(other);
        noticed(&connections).await;
        assert!(connections.take().is_none());

        let (connection, mut other) = pair().await;
        connections.keep(connection);
        other.write_all(b"HTTP/1.1 408").await.expect("written");
        noticed(&connections).await;
        assert!(!connections.close_old());
        assert!(connections.take().is_none());
    }

    #[tokio::test]
    async fn nothing_is_kept_for_no_time() {
        let connections = Connections::new(2, Duration::ZERO);
        let (connection, _other) = pair().await;
        connections.keep(connection);
        assert!(connections.take().is_none());
    }
}
