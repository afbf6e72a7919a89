//! One loaded version of a component, and which parts of it are alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::component::Code;
use super::context::Context;
use super::instances::Instances;
use crate::metrics::Metrics;
use crate::outbound::Attributes;
use crate::redis;

/// Generation ids begin at 1: 0 stands for no generation.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Where a version came from, which decides whether it is there after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The file that the manifest names.
    File,
    /// An upload that was saved in the state folder.
    Stored,
    /// An upload that is lost when the process ends.
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

/// Accepted code with its number. A version that is kept for a rollback outlives its instances.
pub(crate) struct Version {
    /// Counted from 1 for each component.
    pub(crate) number: u64,
    pub(crate) origin: Origin,
    /// The SHA-256 digest of the manifest's file when this version was accepted. If the version came from that file,
    /// its own digest.
    pub(crate) file_digest: Option<String>,
    pub(crate) compiled: Code,
}

impl Version {
    pub(crate) fn digest(&self) -> &str {
        &self.compiled.digest
    }
}

/// A version that can serve, with its instances and the requests in them.
pub(crate) struct Generation {
    pub(crate) version: Arc<Version>,
    pub(crate) context: Arc<Context>,
    pub(crate) instances: Instances,
    pub(crate) life: Arc<GenerationLife>,
}

impl Generation {
    /// Makes a generation without instances. The first request makes an instance.
    pub(crate) fn new(version: Arc<Version>, context: Arc<Context>) -> Arc<Self> {
        let number = i64::try_from(version.number).unwrap_or(i64::MAX);
        let life = Arc::new(GenerationLife {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            redis: redis::Connections::default(),
            version: version.clone(),
            component: context.id.clone(),
            attributes: Arc::new([
                ("store.component", context.name.clone().into()),
                ("store.generation", number.into()),
            ]),
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

/// What shows that a generation is alive. It is held by the generation, by each of its instances, and by each request
/// that waits for the head of its answer. When the last of them drops it, the generation is freed, which
/// [`GenerationLife::freed`] reports. An answer that a client does not read does not hold it.
pub(crate) struct GenerationLife {
    /// A number that is never used again in this process, unlike the number of a version.
    pub(crate) id: u64,
    pub(crate) redis: redis::Connections,
    pub(crate) version: Arc<Version>,
    pub(crate) component: String,
    /// The attributes of component and version in traces.
    pub(crate) attributes: Attributes,
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
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts one more request in flight until the guard is dropped.
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

/// Counts one request in a generation, without keeping the generation alive.
pub(crate) struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
