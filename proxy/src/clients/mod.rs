//! What each client may still ask for: its places for connections and requests, and its tokens over time.
//!
//! Here lives what is counted by a client's address, and who that address is. Nothing here knows a request, answers it
//! or decides what is said to a client that has its share already.

mod places;
mod rate;

use std::net::{IpAddr, SocketAddr};

pub(crate) use places::{ClientPlace, Clients, Kind};
pub(crate) use rate::ClientRate;

/// The client's address; `0.0.0.0` if it is not known.
pub(crate) fn address_of(
    client: Option<&pingora_core::protocols::l4::socket::SocketAddr>,
) -> IpAddr {
    match client.and_then(|client| client.as_inet()) {
        Some(address) => SocketAddr::ip(address).to_canonical(),
        None => IpAddr::from([0, 0, 0, 0]),
    }
}
