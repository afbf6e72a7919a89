//! One upstream of a group: its address, its connections and its queue.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pingora_core::upstreams::peer::HttpPeer;
use store_server::trace::{Description, SharedDescription};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Endpoint;
use super::connections::{self, Connection, Connections};
use super::peer::peer;
use super::standing::Standing;
use crate::config;
use crate::metrics::{Metrics, UpstreamMetrics};

/// One upstream of a group, with the settings of one configuration.
pub(crate) struct Upstream {
    pub(crate) endpoint: Endpoint,
    /// The most requests in flight.
    pub(crate) max_in_flight: usize,
    max_queue: usize,
    /// The description that pingora connects by; cloned for each try.
    pub(crate) peer: HttpPeer,
    pub(crate) standing: Arc<Standing>,
    pub(crate) metrics: UpstreamMetrics,
    /// What the spans of its tries say of it.
    pub(crate) description: SharedDescription,
    /// Connections of requests that take the direct way; pingora pools its own.
    connections: Arc<Connections>,
    connect_timeout: Duration,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// An upstream's address, as OpenTelemetry names it.
fn description(endpoint: &Endpoint) -> SharedDescription {
    let port = i64::from(endpoint.socket.port());
    Description {
        target: Some(endpoint.address.clone().into()),
        attributes: vec![
            ("server.address", endpoint.host.clone().into()),
            ("server.port", port.into()),
        ],
    }
    .into()
}

impl Upstream {
    pub(crate) fn new(
        group: &str,
        settings: &config::Group,
        entry: &config::ServerEntry,
        endpoint: Endpoint,
        standing: Arc<Standing>,
        metrics: &Metrics,
    ) -> Self {
        Self {
            peer: peer(settings, &endpoint),
            standing,
            metrics: metrics.upstream(group, &endpoint.address, endpoint.name.as_deref()),
            connections: Connections::new(entry.max_connections, settings.idle_timeout),
            connect_timeout: settings.connect_timeout,
            permits: Arc::new(Semaphore::new(entry.max_connections)),
            waiting: AtomicUsize::new(0),
            max_in_flight: entry.max_connections,
            max_queue: entry.max_queue,
            description: description(&endpoint),
            endpoint,
        }
    }

    /// A kept connection, or a new one if there is none or the request needs one `alone`.
    ///
    /// # Errors
    /// No connection could be made in time.
    pub(crate) async fn connect(&self, alone: bool) -> io::Result<Connection> {
        if !alone && let Some(connection) = self.connections.take() {
            return Ok(connection);
        }
        let opened = connections::open(self.endpoint.socket, self.connect_timeout).await?;
        self.metrics.connects.inc();
        Ok(opened)
    }

    /// Keeps a connection whose request is over.
    pub(crate) fn keep(&self, connection: Connection) {
        self.connections.keep(connection);
    }

    /// Number of requests that have a connection or are getting one.
    pub(crate) fn in_flight(&self) -> usize {
        self.standing.in_flight()
    }

    /// Number of requests that wait for a permit.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn has_free_permit(&self) -> bool {
        self.permits.available_permits() > 0
    }

    pub(crate) fn has_room_to_wait(&self) -> bool {
        self.waiting() < self.max_queue
    }

    /// A permit, if one is free now.
    pub(crate) fn try_permit(self: &Arc<Self>) -> Option<Permit> {
        let taken = self.permits.clone().try_acquire_owned().ok()?;
        Some(Permit::new(self.clone(), taken))
    }

    /// A permit, once one is free, in the order of requests; `None` after `limit`.
    pub(crate) async fn permit(self: &Arc<Self>, limit: Duration) -> Option<Permit> {
        let waiting = QueuePlace::new(self);
        let taken = tokio::time::timeout(limit, self.permits.clone().acquire_owned()).await;
        let permit = Permit::new(self.clone(), taken.ok()?.ok()?);
        // Only now, as a drain looks at both counts and must see the request in one of them.
        drop(waiting);
        Some(permit)
    }
}

/// The place of one request in an upstream's queue.
struct QueuePlace<'a>(&'a Upstream);

impl<'a> QueuePlace<'a> {
    fn new(upstream: &'a Upstream) -> Self {
        upstream.waiting.fetch_add(1, Ordering::Relaxed);
        upstream.metrics.queued.inc();
        Self(upstream)
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.queued.dec();
    }
}

/// The right to have one request in flight at an upstream.
pub(crate) struct Permit {
    pub(crate) upstream: Arc<Upstream>,
    _taken: OwnedSemaphorePermit,
}

impl Permit {
    fn new(upstream: Arc<Upstream>, taken: OwnedSemaphorePermit) -> Self {
        upstream.standing.begin_request();
        upstream.metrics.in_flight.inc();
        Self {
            upstream,
            _taken: taken,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.upstream.standing.end_request();
        self.upstream.metrics.in_flight.dec();
    }
}
