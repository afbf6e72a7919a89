//! Where the servers of a settings entry are found.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

/// Most bytes of a name and of one of its parts (RFC 1035, section 2.3.4), without the dot at the end.
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// Where servers are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerLocation {
    /// At one address.
    Address(SocketAddr),
    /// At all addresses of one host.
    Host {
        /// The host's name.
        name: String,
        /// The port, the same at all addresses.
        port: u16,
    },
    /// At the targets of the SRV records of this name.
    Service(String),
}

impl ServerLocation {
    /// Reads `host:port`, where the host is a name or an IP address.
    ///
    /// # Errors
    /// The text is no such address, or the port is 0. The error says what to write.
    pub fn at_address(text: &str) -> Result<Self, String> {
        let location = match text.parse() {
            Ok(address) => Self::Address(address),
            Err(_) => Self::at_host(text).ok_or_else(|| {
                format!("`{text}` is no address; write for example \"127.0.0.1:5000\"")
            })?,
        };
        match location {
            Self::Address(address) if address.port() == 0 => {
                Err("a server can't have port 0".into())
            }
            Self::Host { port: 0, .. } => Err("a server can't have port 0".into()),
            location => Ok(location),
        }
    }

    fn at_host(text: &str) -> Option<Self> {
        let (name, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        // `10.1` is an address for some programs and a name for others, so refuse it.
        let last = name.trim_end_matches('.').rsplit('.').next()?;
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
        (is_name(name) && !is_number).then(|| Self::Host {
            name: name.to_owned(),
            port,
        })
    }
}

/// Writes the location as settings do.
impl fmt::Display for ServerLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
            Self::Service(name) => f.write_str(name),
        }
    }
}

impl Default for ServerLocation {
    fn default() -> Self {
        Self::Address(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }
}

/// Whether the text is a name that name servers can be asked for. A dot at the end of a complete name is allowed.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    name.len() <= NAME_BYTES
        && name
            .split('.')
            .all(|label| (1..=LABEL_BYTES).contains(&label.len()) && label.bytes().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Result<ServerLocation, String> {
        let name = name.to_owned();
        Ok(ServerLocation::Host { name, port })
    }

    #[test]
    fn an_address_a_name_and_neither_are_told_apart() {
        let address = "[::1]:5000".parse().expect("an address");
        assert_eq!(
            ServerLocation::at_address("[::1]:5000"),
            Ok(ServerLocation::Address(address))
        );
        assert_eq!(
            ServerLocation::at_address("localhost:80"),
            host("localhost", 80)
        );
        assert_eq!(
            ServerLocation::at_address("a_b.C-d.:1"),
            host("a_b.C-d.", 1)
        );
        let long = format!("{}:80", "a".repeat(64));
        for text in [
            "",
            "a",
            "a:",
            ":80",
            "a:b",
            "a:65536",
            "a..b:80",
            ".a:80",
            ".:80",
            "a b:80",
            "é:80",
            "10.1:80",
            "::1:80",
            "10.0.0.256:80",
            &long,
        ] {
            let reason = ServerLocation::at_address(text).expect_err(text);
            assert!(reason.contains("is no address"), "{text}: {reason}");
        }
        for text in ["a:0", "127.0.0.1:0"] {
            assert_eq!(
                ServerLocation::at_address(text),
                Err("a server can't have port 0".into())
            );
        }
    }

    #[test]
    fn a_place_is_written_as_in_the_file() {
        for text in ["[::1]:5000", "127.0.0.1:80", "store-host.internal.:5000"] {
            assert_eq!(
                ServerLocation::at_address(text).map(|location| location.to_string()),
                Ok(text.to_owned())
            );
        }
    }
}
