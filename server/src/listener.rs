//! The addresses that a server listens on.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Most bytes of a Unix socket's path on Linux, without its closing zero (`unix(7)`).
pub const LONGEST_SOCKET_PATH: usize = 107;

/// Most connections at once to an admin listener. They use file descriptors that clients' connections need, and no
/// operator needs more.
pub const MOST_ADMIN_CONNECTIONS: usize = 256;

/// Longest time in which an admin listener receives a whole component, to load it or to pass it on.
pub const UPLOAD_LIMIT: Duration = Duration::from_secs(120);

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
    use super::*;

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
