//! One server of a group: where it is, and what it is worth.

use serde::{Deserialize, Serialize};
use store_server::names::{ServerLocation, is_name};

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
    pub location: ServerLocation,
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

/// Why an entry names no place: the key, if it is one, and what is wrong with it.
type LocationError = (Option<&'static str>, String);

impl ServerEntry {
    /// What the file calls the place.
    pub fn written(&self) -> &str {
        self.address
            .as_deref()
            .or(self.srv.as_deref())
            .unwrap_or_default()
    }

    /// Makes [`ServerEntry::location`] of what the file says.
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
