//! Where one upstream is, and what it is called.

use std::net::SocketAddr;

/// One address that a server of the configuration stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Where it is.
    pub(crate) socket: SocketAddr,
    /// What logs, metrics and commands call it: the address, as the file or a look-up has it.
    pub(crate) address: String,
    /// The name that it was found by, if the file has no address.
    pub(crate) name: Option<String>,
    /// What its certificate must be for, unless the group says.
    pub(crate) host: String,
    /// Its share, compared with the others'.
    pub(crate) weight: u16,
}

impl Endpoint {
    /// Whether an operator means this one.
    pub(crate) fn is_called(&self, what: &str) -> bool {
        self.address == what || self.name.as_deref() == Some(what)
    }
}
