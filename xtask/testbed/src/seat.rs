//! Where on the network a server runs: on this machine's loopback with the others, or in a network namespace.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The folder in which `ip netns` keeps its named namespaces.
const NAMESPACES: &str = "/run/netns";

/// The network location of one server, which listens at this address only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    address: Ipv4Addr,
    /// The name of a network namespace; `None` for our own.
    namespace: Option<String>,
}

impl Seat {
    /// 127.0.0.1, together with all other servers.
    pub const LOOPBACK: Self = Self {
        address: Ipv4Addr::LOCALHOST,
        namespace: None,
    };

    /// An address of our own machine; every 127.x.y.z is a loopback address.
    pub fn at(address: Ipv4Addr) -> Self {
        let namespace = None;
        Self { address, namespace }
    }

    /// The namespace that `ip netns` knows under this name; `address` is in it.
    pub fn in_namespace(namespace: &str, address: Ipv4Addr) -> Self {
        Self {
            address,
            namespace: Some(namespace.to_owned()),
        }
    }

    /// The server's address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A port at this address.
    pub fn port(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.address), port)
    }

    /// The file of the namespace.
    pub(crate) fn namespace(&self) -> Option<PathBuf> {
        let name = self.namespace.as_ref()?;
        Some(PathBuf::from(NAMESPACES).join(name))
    }
}
