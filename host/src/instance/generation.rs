//! One loaded version of a component, and what of it is alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::component::Code;
use super::context::Context;
use super::instances::Instances;
use crate::metrics::Metrics;
use crate::redis;

/// Counted from 1: what belongs to no generation has 0.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Where a version came from, and so what a restart finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The file that the manifest names.
    File,
    /// An upload that is kept in the state folder.
    Stored,
    /// An upload that ends with the process.
    Ephemeral,
}

impl Origin {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Stored | Self::Ephemeral => "upload",
        }
    }
}

/// Code that was accepted under a number. It outlives its instances while it is kept for a rollback.
pub(crate) struct Version {
    /// Counted from 1 for each component.
    pub(crate) number: u64,
    pub(crate) origin: Origin,
    /// SHA-256 of the manifest's file when this version was accepted beside it; its own if it is that file.
    pub(crate) file_digest: Option<String>,
    pub(crate) compiled: Code,
}

impl Version {
    pub(crate) fn digest(&self) -> &str {
        &self.compiled.digest
    }
}

/// A version that can serve: its instances and the requests in them.
pub(crate) struct Generation {
    pub(crate) version: Arc<Version>,
    pub(crate) context: Arc<Context>,
    pub(crate) instances: Instances,
    pub(crate) life: Arc<GenerationLife>,
}

impl Generation {
    /// A generation without instances; the first request makes one.
    pub(crate) fn new(version: Arc<Version>, context: Arc<Context>) -> Arc<Self> {
        let life = Arc::new(GenerationLife {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            redis: redis::Connections::default(),
            version: version.clone(),
            component: context.id.clone(),
            since: SystemTime::now(),
            in_flight: Arc::default(),
            retired: CancellationToken::new(),
            cut: CancellationToken::new(),
            freed: CancellationToken::new(),
            metrics: context.metrics.clone(),
        });
        Arc::new(Self {
            instances: Instances::new(context.clone(), &version, life.clone()),
            version,
            context,
            life,
        })
    }
}

/// Held by a generation, by each of its instances and by each request that waits for its answer's head. When the last of
/// them lets go, the generation is freed, and its drop tells. An answer that a client does not read holds none of it.
pub(crate) struct GenerationLife {
    /// Unlike a version's number, never used again in this process.
    pub(crate) id: u64,
    pub(crate) redis: redis::Connections,
    pub(crate) version: Arc<Version>,
    pub(crate) component: String,
    pub(crate) since: SystemTime,
    /// Requests not fully answered. Written by [`InFlight`].
    in_flight: Arc<AtomicUsize>,
    /// No new requests come: instances leave when they have nothing to do.
    pub(crate) retired: CancellationToken,
    /// The time for finishing is over: instances end, whatever they do.
    pub(crate) cut: CancellationToken,
    /// Cancelled when this is dropped.
    pub(crate) freed: CancellationToken,
    metrics: Arc<Metrics>,
}

impl GenerationLife {
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// One more request in flight until the guard is dropped.
    pub(crate) fn enter(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.in_flight.clone())
    }
}

impl Drop for GenerationLife {
    fn drop(&mut self) {
        self.metrics.swaps.freed(&self.component);
        self.freed.cancel();
    }
}

/// One request in a generation, which it counts in and does not hold.
pub(crate) struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
