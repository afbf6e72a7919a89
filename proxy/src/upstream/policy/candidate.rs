//! What policies choose from.

use std::net::SocketAddr;

/// What a policy knows of one upstream.
pub(crate) struct Candidate {
    /// The address, from which a hash ring is made.
    pub(crate) address: SocketAddr,
    /// Share of the requests, relative to other candidates' weights.
    pub(crate) weight: u16,
}
