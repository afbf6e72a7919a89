//! Where on the network a server runs: on this machine's loopback beside the others, or in a network namespace.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Where `ip netns` keeps the namespaces that it names.
const NAMESPACES: &str = "/run/netns";

/// The place of one server, which listens at this address alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    address: Ipv4Addr,
    /// The name of a network namespace; `None` for our own.
    namespace: Option<String>,
}

impl Seat {
    /// 127.0.0.1, beside all others.
    pub const LOOPBACK: Self = Self {
        address: Ipv4Addr::LOCALHOST,
        namespace: None,
    };

    /// An address of our own machine: every 127.x.y.z is one of loopback.
    pub fn at(address: Ipv4Addr) -> Self {
        let namespace = None;
        Self { address, namespace }
    }

    /// A namespace that `ip netns` knows by this name, in which `address` is.
    pub fn in_namespace(namespace: &str, address: Ipv4Addr) -> Self {
        Self {
            address,
            namespace: Some(namespace.to_owned()),
        }
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A port at its address.
    pub fn port(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.address), port)
    }

    /// The file that stands for the namespace.
    pub(crate) fn namespace(&self) -> Option<PathBuf> {
        let name = self.namespace.as_ref()?;
        Some(PathBuf::from(NAMESPACES).join(name))
    }
}
