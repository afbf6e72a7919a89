//! Address and names of one upstream.

use std::net::SocketAddr;

/// One of the addresses that a server entry of the configuration stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The address to connect to.
    pub(crate) socket: SocketAddr,
    /// The name in logs, metrics and commands: the address, as the file or a look-up gives it.
    pub(crate) address: String,
    /// The name that led to the address; `None` if the file gives the address.
    pub(crate) name: Option<String>,
    /// The host that the upstream's certificate must be for, unless the group's settings name one.
    pub(crate) host: String,
    /// Share of the requests, relative to other upstreams' weights.
    pub(crate) weight: u16,
}

impl Endpoint {
    /// Whether an operator who writes `what` means this upstream.
    pub(crate) fn is_called(&self, what: &str) -> bool {
        self.address == what || self.name.as_deref() == Some(what)
    }
}
