//! The addresses and sockets that a server listens on.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::SockRef;

/// Most bytes of a Unix socket's path on Linux, without its closing zero (`unix(7)`).
pub const LONGEST_SOCKET_PATH: usize = 107;

/// Most connections at once to an admin listener. They use file descriptors that clients' connections need, and no
/// operator needs more.
pub const MOST_ADMIN_CONNECTIONS: usize = 256;

/// Longest time in which an admin listener receives a whole component, to load it or to pass it on.
pub const UPLOAD_LIMIT: Duration = Duration::from_secs(120);

/// The most bytes that the system takes for one client beyond those that are on their way to it.
const UNSENT_BYTES: u32 = 128 * 1024;

/// Has the system take little for a client that reads slowly, on all connections that `listener` accepts from now on.
/// Otherwise it takes up to some MiB, and so whoever asks for large answers and reads nothing has them made at once, on
/// the processor that others need. A client that reads fast has as much on its way as the network carries. If the
/// system does not know the option, this logs a warning.
pub fn limit_unsent(listener: &impl AsFd) {
    if let Err(error) = SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::warn!(%error, "Can't limit what the system takes for clients that do not read");
    }
}

/// The address on which a program that listens at `listen` is reached from its own machine.
#[must_use]
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let mut address = listen;
    if listen.ip().is_unspecified() {
        address.set_ip(match listen {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// How many bytes the system takes for a client that reads nothing.
    fn taken_at(listener: &TcpListener) -> usize {
        let address = listener.local_addr().expect("bound");
        let _client = TcpStream::connect(address).expect("connects");
        let (mut stream, _) = listener.accept().expect("accepts");
        stream.set_nonblocking(true).expect("is a socket");
        let mut taken = 0;
        loop {
            match stream.write(&[b'x'; 64 * 1024]) {
                Ok(bytes) => taken += bytes,
                Err(full) if full.kind() == ErrorKind::WouldBlock => return taken,
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn the_system_takes_little_for_who_does_not_read() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let usual = taken_at(&listener);
        limit_unsent(&listener);
        let limited = taken_at(&listener);
        assert!(
            limited < usual && limited < 1024 * 1024,
            "{limited}, {usual}"
        );
    }

    #[test]
    fn who_listens_everywhere_is_asked_on_this_machine() {
        for (listen, asked) in [
            ("0.0.0.0:5000", "127.0.0.1:5000"),
            ("[::]:5000", "[::1]:5000"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            let listen = listen.parse().expect(listen);
            assert_eq!(reachable(listen).to_string(), asked);
        }
    }
}
