//! What a request's place on a hash ring is made of.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};

use crate::config::HashOn;

/// A header's value, or an address.
pub(crate) enum HashKey {
    Header(HeaderValue),
    Address([u8; 16]),
}

impl HashKey {
    /// The client's address stands in for a header that is missing.
    pub(crate) fn new(on: &HashOn, headers: &HeaderMap, client: IpAddr) -> Self {
        let value = match on {
            HashOn::Header(name) => headers.get(name),
            HashOn::ClientAddress => None,
        };
        match (value, client) {
            (Some(value), _) => Self::Header(value.clone()),
            (None, IpAddr::V4(address)) => Self::Address(address.to_ipv6_mapped().octets()),
            (None, IpAddr::V6(address)) => Self::Address(address.octets()),
        }
    }
}

impl AsRef<[u8]> for HashKey {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Header(value) => value.as_bytes(),
            Self::Address(octets) => octets,
        }
    }
}
