//! The key that decides a request's place on a hash ring.

use std::net::IpAddr;

use http::HeaderName;

use crate::config::HashOn;

/// A header's value, or an address.
pub(crate) enum HashKey {
    Header(Box<[u8]>),
    Address([u8; 16]),
}

impl HashKey {
    /// `header` finds a header's value. If the header is missing, the client's address is the key.
    pub(crate) fn new<'a>(
        on: &HashOn,
        header: impl FnOnce(&HeaderName) -> Option<&'a [u8]>,
        client: IpAddr,
    ) -> Self {
        let value = match on {
            HashOn::Header(name) => header(name),
            HashOn::ClientAddress => None,
        };
        match (value, client) {
            (Some(value), _) => Self::Header(value.into()),
            (None, IpAddr::V4(address)) => Self::Address(address.to_ipv6_mapped().octets()),
            (None, IpAddr::V6(address)) => Self::Address(address.octets()),
        }
    }
}

impl AsRef<[u8]> for HashKey {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Header(value) => value,
            Self::Address(octets) => octets,
        }
    }
}
