//! The address that the admin interface listens on.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use store_server::AdminUrl;
use store_server::listener::reachable;

/// The prefix of an address that is a Unix socket.
const UNIX: &str = "unix:";

/// The address of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// An IP address and a port. Beyond loopback, the host needs an admin token.
    Tcp(SocketAddr),
    /// The path of a Unix socket, which only the user that runs the host can open.
    Unix(PathBuf),
}

impl AdminAddress {
    /// The URL of the listener for programs on this machine.
    pub(crate) fn url(&self) -> AdminUrl {
        match self {
            Self::Tcp(address) => AdminUrl::Tcp(reachable(*address).to_string()),
            Self::Unix(path) => AdminUrl::Unix(path.clone()),
        }
    }

    /// Whether only programs on this machine can reach the address.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix(UNIX) {
            Some("") => Err("write the socket as unix:/path/to/a.sock".into()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| "write it as 127.0.0.1:5100 or unix:/path/to/a.sock".into()),
        }
    }
}

/// Writes the address as a client of the admin interface needs it.
impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in ["127.0.0.1:5100", "[::1]:0", "unix:/run/store.sock"] {
            let address: AdminAddress = text.parse().expect(text);
            assert!(address.is_local());
            assert!(address.to_string().ends_with(text));
        }
        let public: AdminAddress = "0.0.0.0:5100".parse().expect("an address");
        assert!(!public.is_local());
        assert_eq!(public.url().to_string(), "http://127.0.0.1:5100");
        for wrong in ["", "5100", "unix:", "localhost"] {
            let reason = wrong.parse::<AdminAddress>().expect_err(wrong);
            assert!(reason.contains("unix:/path/to/a.sock"), "{wrong}: {reason}");
        }
    }
}
