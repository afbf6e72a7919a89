//! The limits of each client: its places for connections and requests, and its request rate.
//!
//! Counts by a client's address live here, and the code that finds that address. Nothing here knows a request, answers
//! it, or decides what a client is told that has used up its share.

mod places;
mod rate;

use std::net::{IpAddr, SocketAddr};

pub(crate) use places::{ClientPlace, Clients, Kind};
pub(crate) use rate::ClientRate;

/// The client's address; `0.0.0.0` if it is unknown.
pub(crate) fn address_of(
    client: Option<&pingora_core::protocols::l4::socket::SocketAddr>,
) -> IpAddr {
    match client.and_then(|client| client.as_inet()) {
        Some(address) => SocketAddr::ip(address).to_canonical(),
        None => IpAddr::from([0, 0, 0, 0]),
    }
}
