//! Settings of look-ups: which name servers are asked, and how often.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;

/// The port of name servers (RFC 1035, section 4.2).
const DNS_PORT: u16 = 53;

/// How names become addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resolver {
    /// Name servers; empty means those of the system.
    pub servers: Vec<NameServer>,
    /// Shortest time between two look-ups of a name, whatever its records say.
    #[serde(with = "duration")]
    pub min_interval: Duration,
    /// Time limit for one look-up, including all its questions.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

/// The address of a name server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NameServer(pub SocketAddr);

impl Default for Resolver {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            min_interval: Duration::from_secs(5),
            timeout: Duration::from_secs(4),
        }
    }
}

impl FromStr for NameServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let alone = |text: &str| Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, DNS_PORT));
        text.parse()
            .ok()
            .or_else(|| alone(text))
            .filter(|address| address.port() != 0)
            .map(Self)
            .ok_or_else(|| "write an IP address, and a port if it is not 53".into())
    }
}

written_as_text!(NameServer);

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_name_server_may_be_left_out() {
        for (text, address) in [
            ("10.96.0.10", "10.96.0.10:53"),
            ("10.96.0.10:5353", "10.96.0.10:5353"),
            ("::1", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            let read: NameServer = text.parse().expect(text);
            assert_eq!(read.to_string(), address);
        }
        for text in ["", "dns.example", "10.96.0.10:0", "10.96.0.10:dns"] {
            assert!(text.parse::<NameServer>().is_err(), "{text}");
        }
    }
}
