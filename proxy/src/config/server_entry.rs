//! One server entry of a group: its location, weight and limits.

use serde::{Deserialize, Serialize};
use store_server::names::{ServerLocation, is_name};

/// One server, or all servers that a name stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerEntry {
    /// `host:port`. With an IP address, the entry is one server, and logs, metrics and `drain` use this address as its
    /// name. With a host name, the entry is as many servers as the name has addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Instead of `address`: the name of SRV records (RFC 2782), which give hosts and ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srv: Option<String>,
    /// The location that [`ServerEntry::address`] or [`ServerEntry::srv`] stands for.
    #[serde(skip)]
    pub location: ServerLocation,
    /// Share of the requests, relative to other servers' weights.
    #[serde(default = "one")]
    pub weight: u16,
    /// Most requests in flight at once; further requests wait.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
    /// Most requests that may wait; further requests are answered 503.
    #[serde(default = "max_queue")]
    pub max_queue: usize,
}

/// Why an entry has no valid location: the wrong key, if it is a single one, and the reason.
type LocationError = (Option<&'static str>, String);

impl ServerEntry {
    /// The location as written in the file.
    pub fn written(&self) -> &str {
        self.address
            .as_deref()
            .or(self.srv.as_deref())
            .unwrap_or_default()
    }

    /// Sets [`ServerEntry::location`] from the keys of the entry.
    pub(super) fn locate(&mut self) -> Result<(), LocationError> {
        self.location = match (&self.address, &self.srv) {
            (Some(address), None) => {
                ServerLocation::at_address(address).map_err(|reason| (Some("address"), reason))?
            }
            (None, Some(name)) if is_name(name) => ServerLocation::Service(name.clone()),
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

fn one() -> u16 {
    1
}

fn max_connections() -> usize {
    1024
}

fn max_queue() -> usize {
    256
}
