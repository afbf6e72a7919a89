//! What answers the requests of all connections.

use std::sync::Arc;
use std::time::Duration;

use store_server::trace::Tracing;

use super::downstream::Times;
use super::hyper_settings::HEADER_TIMEOUT;
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
    /// How long a connection may be without a request.
    pub(crate) idle_timeout: Duration,
    /// How long a client may take to send a body.
    pub(crate) receive_timeout: Duration,
    /// How long a client may leave an answer unread.
    pub(crate) send_timeout: Duration,
    /// How long requests in flight may take after shutdown has begun.
    pub(crate) drain_timeout: Duration,
}

impl Server {
    /// How long the client of a connection may take. A head that has begun is no request yet, so it has no more time
    /// than a connection without a request.
    pub(super) fn times(&self) -> Times {
        let receive = self.receive_timeout.min(self.idle_timeout);
        Times {
            receive: receive.min(HEADER_TIMEOUT),
            send: self.send_timeout,
        }
    }
}
