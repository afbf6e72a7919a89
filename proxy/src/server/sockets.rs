//! Listening sockets: whether addresses are free, when all sockets exist, and how many files the process may open.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pingora_core::listeners::{ListenerConfig, TcpSocketOptions};
use pingora_core::protocols::TcpKeepalive;
use pingora_core::protocols::l4::stream::L4BufferSettings;
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::Service;
use store_server::listener::limit_unsent;
use tokio::sync::oneshot;

use crate::config::Config;

/// Time between two checks whether the sockets exist.
const LOOK: Duration = Duration::from_millis(5);

/// Open files for each client connection: its own socket, and one for a connection to an upstream.
const FILES_FOR_EACH_CONNECTION: u64 = 2;

/// All addresses of a configuration, with the admin listener's last.
pub(crate) fn addresses(config: &Config) -> Vec<SocketAddr> {
    let for_clients = config.listen.iter().map(|listen| listen.address);
    for_clients.chain([config.server.admin]).collect()
}

/// Checks that all addresses are free. Pingora would try to bind a taken address for half a minute, and then go on
/// without it.
///
/// # Errors
/// The first address that can't be listened on.
pub(crate) fn check_free(addresses: &[SocketAddr]) -> Result<(), (SocketAddr, io::Error)> {
    let held: Result<Vec<_>, _> = addresses
        .iter()
        .map(|&address| TcpListener::bind(address).map_err(|error| (address, error)))
        .collect();
    // All sockets are bound at the same time, so that two addresses that exclude each other are found too.
    held.map(drop)
}

/// A listener for clients, without pingora's read buffer, which takes 64 KiB for each connection, busy or idle. The
/// connections of a thread share a buffer instead, see `downstream::wire`.
pub(crate) fn listener(address: SocketAddr) -> ListenerConfig {
    let no_read_buffer = L4BufferSettings::default().read(0);
    ListenerConfig::tcp(address.to_string())
        .tcp_socket_options(options())
        .l4_buffer(no_read_buffer)
}

/// Options that notice a vanished client after a minute and a half.
fn options() -> TcpSocketOptions {
    let mut options = TcpSocketOptions::default();
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 3,
        #[cfg(target_os = "linux")]
        user_timeout: Duration::ZERO,
    });
    options
}

/// Signals when pingora has all sockets, whether it has bound them or taken them over from another process. It also
/// sets what pingora has no option for.
pub(crate) struct ListenWatch {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) tell: Option<oneshot::Sender<()>>,
}

#[async_trait]
impl Service for ListenWatch {
    async fn start_service(&mut self, fds: Option<ListenFds>, _: ShutdownWatch, _: usize) {
        let Some(fds) = fds else { return };
        let names: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        while !names.iter().all(|name| fds.lock().get(name).is_some()) {
            tokio::time::sleep(LOOK).await;
        }
        for name in &names {
            let socket = fds.lock().get(name).copied();
            if let Some(socket) = socket {
                limit_unsent_at(socket);
            }
        }
        if let Some(tell) = self.tell.take() {
            // An error means that the receiver is gone because the process ends.
            _ = tell.send(());
        }
    }

    fn name(&self) -> &str {
        "listening"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        Some(Vec::new())
    }
}

/// As [`limit_unsent`], for a socket that pingora has just made or taken over.
#[expect(unsafe_code, reason = "pingora shows its sockets as numbers only")]
fn limit_unsent_at(socket: RawFd) {
    // SAFETY: pingora keeps the sockets in its table open.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    limit_unsent(&socket);
}

/// Raises the limit of open files as far as the system allows, and logs a warning if it is too low for that many
/// connections.
pub(crate) fn allow_open_files(connections: usize) {
    let needed = connections as u64 * FILES_FOR_EACH_CONNECTION;
    let allowed = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(hard)
    });
    match allowed {
        Ok(allowed) if allowed < needed => tracing::warn!(
            allowed,
            needed,
            "Fewer open files are allowed than `limits.connections` may need"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "Limit of open files can't be raised"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = taken.local_addr().expect("bound");
        let (named, error) = check_free(&[address]).expect_err("taken");
        assert_eq!(named, address);
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(taken);
        check_free(&[address]).expect("free again");
        check_free(&[address, address]).expect_err("twice");
    }
}
