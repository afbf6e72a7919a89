//! Which parts of a generation are alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use store_server::trace::{Description, SharedDescription, Span};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::version::Version;
use crate::metrics::Metrics;
use crate::redis;

/// Generation ids begin at 1: 0 stands for no generation.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What shows that a generation is alive. It is held by the generation, by each of its instances, and by each request
/// that waits for the head of its answer. When the last of them drops it, the generation is freed, which
/// [`GenerationLife::freed`] reports. An answer that a client does not read does not hold it.
pub(crate) struct GenerationLife {
    /// A number that is never used again in this process, unlike the number of a version.
    pub(crate) id: u64,
    /// Shared with the state of each instance.
    pub(super) redis: Arc<redis::Connections>,
    pub(crate) version: Arc<Version>,
    pub(crate) component: String,
    /// What spans of work by this component say, whatever its version.
    description: SharedDescription,
    pub(crate) since: SystemTime,
    /// The number of requests whose answers have not ended. [`InFlight`] changes it.
    in_flight: Arc<AtomicUsize>,
    /// Cancelled when no new requests will come. Then instances end as soon as they have nothing to do.
    pub(crate) retired: CancellationToken,
    /// Cancelled when the time to finish is over. Then instances end, whatever they are doing.
    pub(crate) cut: CancellationToken,
    /// Cancelled when the generation is freed.
    pub(crate) freed: CancellationToken,
    metrics: Arc<Metrics>,
}

impl GenerationLife {
    /// The life of a generation of `version` that begins now.
    pub(super) fn begin(version: Arc<Version>, context: &Context) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            redis: Arc::default(),
            version,
            component: context.id.clone(),
            description: description(&context.name),
            since: SystemTime::now(),
            in_flight: Arc::default(),
            retired: CancellationToken::new(),
            cut: CancellationToken::new(),
            freed: CancellationToken::new(),
            metrics: context.metrics.clone(),
        })
    }

    /// Names the component and its version in a span that is about them.
    pub(crate) fn describe(&self, span: &mut Span) {
        span.share(&self.description);
        span.set("store.generation", self.version.number);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts one more request in flight until the guard is dropped.
    pub(crate) fn enter(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.in_flight.clone())
    }
}

fn description(component: &Arc<str>) -> SharedDescription {
    Description {
        target: Some(component.clone().into()),
        attributes: vec![("store.component", component.clone().into())],
    }
    .into()
}

impl Drop for GenerationLife {
    fn drop(&mut self) {
        self.metrics.swaps.freed(&self.component);
        self.freed.cancel();
    }
}

/// Counts one request in a generation, without keeping the generation alive.
pub(crate) struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
