//! The socket of the admin interface: a TCP address or a Unix socket.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::config::AdminAddress;

/// A bound address.
pub(crate) enum AdminListener {
    Tcp(TcpListener),
    Unix(Socket),
}

/// A Unix socket, removed on drop.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

/// A connection of either kind.
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

    /// The address it listens on, with the port that was picked.
    ///
    /// # Errors
    /// The system does not tell the address of the socket.
    pub(crate) fn address(&self) -> io::Result<AdminAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(AdminAddress::Tcp),
            Self::Unix(socket) => Ok(AdminAddress::Unix(socket.path.clone())),
        }
    }

    /// Waits for a connection. Returns it with the name of its other end, for the audit log.
    ///
    /// # Errors
    /// No connection can be accepted: usually there are no file descriptors left.
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
    // A socket on which nobody listens was left by a process that was killed. Any other file is not ours to remove.
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    // If the mode were set after binding, others could connect in between. The mask holds for the whole process: files that
    // other threads make at this moment are only less readable.
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
