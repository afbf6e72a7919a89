//! One server of a group: where it is, and what it is worth.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Longest name and longest part of one (RFC 1035, section 2.3.4), without the dot at its end.
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// One server, or all servers that a name stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerEntry {
    /// `host:port`. An IP address is one server, and this its name everywhere: logs, metrics, `drain`. A name is as many
    /// servers as it has addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Instead of an address: the name of SRV records (RFC 2782), which say hosts and ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srv: Option<String>,
    /// What [`ServerEntry::address`] or [`ServerEntry::srv`] mean.
    #[serde(skip)]
    pub place: Place,
    /// Share of the requests, compared with the others' weights.
    #[serde(default = "one")]
    pub weight: u16,
    /// Requests in flight at once; more wait.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
    /// Requests that may wait; more are answered 503.
    #[serde(default = "max_queue")]
    pub max_queue: usize,
}

/// Where the servers of an entry are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// At one address.
    Address(SocketAddr),
    /// At all addresses of a host.
    Host {
        /// Its name.
        name: String,
        /// The port, at each of its addresses.
        port: u16,
    },
    /// Where SRV records of this name point to.
    Service(String),
}

/// Why an entry names no place: the key, if it is one, and what is wrong with it.
type Misplaced = (Option<&'static str>, String);

impl ServerEntry {
    /// What the file calls the place.
    pub fn written(&self) -> &str {
        self.address
            .as_deref()
            .or(self.srv.as_deref())
            .unwrap_or_default()
    }

    /// Makes [`ServerEntry::place`] of what the file says.
    pub(super) fn locate(&mut self) -> Result<(), Misplaced> {
        self.place = match (&self.address, &self.srv) {
            (Some(address), None) => {
                Place::at_address(address).map_err(|reason| (Some("address"), reason))?
            }
            (None, Some(name)) if is_name(name) => Place::Service(name.clone()),
            (None, Some(name)) => {
                let reason = format!("`{name}` is no name; write for example \"_http._tcp.store\"");
                return Err((Some("srv"), reason));
            }
            (None, None) => return Err((None, "a server needs an `address` or `srv`".into())),
            (Some(_), Some(_)) => {
                let reason = "a server has an `address` or `srv`, not both";
                return Err((Some("srv"), reason.into()));
            }
        };
        Ok(())
    }
}

impl Place {
    fn at_address(text: &str) -> Result<Self, String> {
        let place = match text.parse() {
            Ok(address) => Self::Address(address),
            Err(_) => Self::at_host(text).ok_or_else(|| {
                format!("`{text}` is no address; write for example \"127.0.0.1:5000\"")
            })?,
        };
        match place {
            Self::Address(address) if address.port() == 0 => Err("port 0 is no server's".into()),
            Self::Host { port: 0, .. } => Err("port 0 is no server's".into()),
            place => Ok(place),
        }
    }

    fn at_host(text: &str) -> Option<Self> {
        let (name, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        // `10.1` is an address to some programs and a name to others.
        let last = name.trim_end_matches('.').rsplit('.').next()?;
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
        (is_name(name) && !is_number).then(|| Self::Host {
            name: name.to_owned(),
            port,
        })
    }
}

/// As in the file.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
            Self::Service(name) => f.write_str(name),
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::Address(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }
}

/// Whether name servers can be asked for it. The dot at the end of a whole name may be there.
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    name.len() <= NAME_BYTES
        && name
            .split('.')
            .all(|label| (1..=LABEL_BYTES).contains(&label.len()) && label.bytes().all(plain))
}

fn one() -> u16 {
    1
}

fn max_connections() -> usize {
    1024
}

fn max_queue() -> usize {
    256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Result<Place, String> {
        let name = name.to_owned();
        Ok(Place::Host { name, port })
    }

    #[test]
    fn an_address_a_name_and_neither_are_told_apart() {
        let address = "[::1]:5000".parse().expect("an address");
        assert_eq!(Place::at_address("[::1]:5000"), Ok(Place::Address(address)));
        assert_eq!(Place::at_address("localhost:80"), host("localhost", 80));
        assert_eq!(Place::at_address("a_b.C-d.:1"), host("a_b.C-d.", 1));
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
            let reason = Place::at_address(text).expect_err(text);
            assert!(reason.contains("is no address"), "{text}: {reason}");
        }
        for text in ["a:0", "127.0.0.1:0"] {
            assert_eq!(Place::at_address(text), Err("port 0 is no server's".into()));
        }
    }

    #[test]
    fn a_place_is_written_as_in_the_file() {
        for text in ["[::1]:5000", "127.0.0.1:80", "store-host.internal.:5000"] {
            assert_eq!(
                Place::at_address(text).map(|place| place.to_string()),
                Ok(text.to_owned())
            );
        }
    }
}
