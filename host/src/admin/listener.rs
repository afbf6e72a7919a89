//! The socket of the admin interface: a TCP address or a Unix socket.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::config::AdminAddress;

/// A bound socket.
pub(crate) enum AdminListener {
    Tcp(TcpListener),
    Unix(Socket),
}

/// A Unix socket. Its file is removed on drop.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

/// A connection of either kind of socket.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

impl AdminListener {
    /// Binds the address.
    ///
    /// # Errors
    /// The address can't be bound, or another process uses the socket.
    pub(crate) async fn bind(address: &AdminAddress) -> io::Result<Self> {
        match address {
            AdminAddress::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            AdminAddress::Unix(path) => bind_socket(path).await.map(Self::Unix),
        }
    }

    /// The bound address, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// The system does not return the address of the socket.
    pub(crate) fn address(&self) -> io::Result<AdminAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(AdminAddress::Tcp),
            Self::Unix(socket) => Ok(AdminAddress::Unix(socket.path.clone())),
        }
    }

    /// Waits for a connection, and returns it with the name of its other end for the audit log.
    ///
    /// # Errors
    /// No connection can be accepted; usually the process is out of file descriptors.
    pub(crate) async fn accept(&self) -> io::Result<(Box<dyn Connection>, String)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Box::new(stream), peer.to_string()))
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.listener.accept().await?;
                let peer = peer(&stream);
                Ok((Box::new(stream), peer))
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.path);
    }
}

async fn bind_socket(path: &Path) -> io::Result<Socket> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    // A socket on which nobody listens was left by a process that was killed. Any other kind of file must not be
    // removed.
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    // The umask is set before binding, because otherwise others could connect before a later `chmod`. It holds for the
    // whole process, so files that other threads create at this moment get stricter modes too, which does no harm.
    let usual = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    umask(usual);
    Ok(Socket {
        listener: listener?,
        path: path.to_owned(),
    })
}

fn peer(stream: &UnixStream) -> String {
    match stream.peer_cred() {
        Ok(peer) => format!(
            "unix:uid={},pid={}",
            peer.uid(),
            peer.pid().unwrap_or_default()
        ),
        Err(_) => "unix".into(),
    }
}
