//! One loaded version of a component, and what of it is alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wasmtime_wasi_http::handler::ProxyHandler;

use crate::component::Compiled;
use crate::context::Context;
use crate::instance::Instances;
use crate::metrics::Metrics;

/// Longest wait for a [turn](Generation::turn). Its holder may have to wait for an instance itself, and nobody behind it
/// should notice: with 100 ms, a rate of 70 % of the most had a 99th percentile of 100 ms and more.
const LONGEST_WAIT: Duration = Duration::from_millis(2);

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
    pub(crate) compiled: Compiled,
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
    pub(crate) handler: ProxyHandler<Instances>,
    /// One for each thread; see [`Generation::turn`].
    turns: Arc<Semaphore>,
    pub(crate) life: Arc<Life>,
}

impl Generation {
    /// A generation without instances; the first request makes one.
    pub(crate) fn new(version: Arc<Version>, context: Arc<Context>) -> Arc<Self> {
        let life = Arc::new(Life {
            version: version.clone(),
            component: context.id.clone(),
            since: SystemTime::now(),
            in_flight: Arc::default(),
            retired: CancellationToken::new(),
            cut: CancellationToken::new(),
            freed: CancellationToken::new(),
            metrics: context.metrics.clone(),
        });
        let instances = Instances::new(context.clone(), &version, life.clone());
        Arc::new(Self {
            handler: ProxyHandler::new(instances),
            turns: Arc::new(Semaphore::new(Handle::current().metrics().num_workers())),
            version,
            context,
            life,
        })
    }

    /// Waits until it is a request's turn to be given to the handler; the turn ends when an instance takes the request.
    ///
    /// The handler makes another instance whenever requests queue up, and gives them out in rotation: as many instances as
    /// there are clients, each cold in the processor's caches when its turn comes. Taking turns, few of them do all the
    /// work. A request whose turn does not come goes ahead without, since an instance may be slow to start.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(turn) = self.turns.clone().try_acquire_owned() {
            return Some(turn);
        }
        timeout(LONGEST_WAIT, self.turns.clone().acquire_owned())
            .await
            .ok()?
            .ok()
    }
}

/// Held by a generation, by each of its instances and by each request that waits for its answer's head. When the last of
/// them lets go, the generation is freed, and its drop tells. An answer that a client does not read holds none of it.
pub(crate) struct Life {
    pub(crate) version: Arc<Version>,
    pub(crate) component: String,
    pub(crate) since: SystemTime,
    /// Requests not fully answered. Written by [`InFlight`].
    in_flight: Arc<AtomicUsize>,
    /// No new requests come: instances leave when they have nothing to do.
    pub(crate) retired: CancellationToken,
    /// The time for finishing is over: instances end, whatever they do.
    pub(crate) cut: CancellationToken,
    /// Set by the drop of this.
    pub(crate) freed: CancellationToken,
    metrics: Arc<Metrics>,
}

impl Life {
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// One more request in flight until the guard is dropped.
    pub(crate) fn enter(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.in_flight.clone())
    }
}

impl Drop for Life {
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
