//! What answers the requests of all connections.

use std::sync::Arc;
use std::time::Duration;

use store_server::trace::Tracing;

use super::refusals::Refusals;
use crate::app::{LiveApp, Readiness};
use crate::clients::Clients;

/// What all connections share.
pub(crate) struct Server {
    pub(crate) live: Arc<LiveApp>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) readiness: Readiness,
    pub(crate) tracing: Tracing,
    /// The most connections that may be open at once.
    pub(crate) max_connections: usize,
    /// How long a client may take to send a body; also a head, if this is shorter than
    /// [`HEADER_TIMEOUT`](super::hyper_settings::HEADER_TIMEOUT).
    pub(crate) receive_timeout: Duration,
    /// How long a client may leave an answer unread.
    pub(crate) send_timeout: Duration,
    /// How long requests in flight may take after shutdown has begun.
    pub(crate) drain_timeout: Duration,
}
