//! The instances of one generation, and how a request reaches one of them. When one is needed, `start` makes it.

mod start;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use http::{Request, Response};
use store_server::trace::{Kind, Span, Trace};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use wasmtime::{Engine, PoolConcurrencyLimitError};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::p3::bindings::ServicePre;

pub(crate) use self::start::new_store;
use super::context::Context;
use super::engine::is_short_of_instances;
use super::life::GenerationLife;
use super::queue::{PATIENCE, Queue, WatchdogState};
use super::readers::Reader;
use super::roster::Need;
use super::state::State;
use super::version::Version;
use crate::clients::{Asker, COPIES, Share};
use crate::message::RequestId;

/// What an admitted request brings to an instance.
pub(crate) struct Admission {
    pub(crate) id: RequestId,
    /// Held until the guest has answered or the request's time is over, even if the client has left, because the guest
    /// works on. A probe has no place.
    pub(crate) place: Option<Arc<RequestPlace>>,
    /// Whether the request goes before all that wait.
    pub(crate) is_urgent: bool,
}

impl Admission {
    /// The client in whose turn the request waits.
    pub(super) fn client(&self) -> Asker {
        self.place.as_ref().and_then(|place| place.client())
    }
}

/// A request's place: one of the component's permits, and a part of its client's share. Both are kept until no guest
/// works for the request. So a client that leaves early does not get its part back earlier.
pub(crate) struct RequestPlace {
    pub(crate) _permit: OwnedSemaphorePermit,
    pub(crate) owner: RequestOwner,
}

/// Who gets the answer to a request.
pub(crate) enum RequestOwner {
    Client(Arc<Share>),
    /// A health check of a client that has used up its share.
    Nobody,
    /// A mirrored copy, whose answer goes to no client.
    Mirror,
}

impl RequestPlace {
    fn client(&self) -> Asker {
        match &self.owner {
            RequestOwner::Client(share) => Some(share.address()),
            RequestOwner::Nobody => None,
            RequestOwner::Mirror => Some(COPIES),
        }
    }
}

/// Whether an instance ended in a trap or at a limit. Without this, the body of an answer would just end, and would
/// look complete to the client.
#[derive(Clone, Default)]
pub(crate) struct InstanceFate {
    has_failed: Arc<AtomicBool>,
    /// Present in the copy that an answer holds.
    _reader: Option<Arc<Reader>>,
    /// Cancelled when the generation is cut off. Present as the reader is.
    cut: Option<CancellationToken>,
}

impl InstanceFate {
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Whether the instance ended because the host cut its generation off, which is no failure of the component.
    pub(crate) fn was_cut(&self) -> bool {
        self.has_failed()
            && self
                .cut
                .as_ref()
                .is_some_and(CancellationToken::is_cancelled)
    }

    pub(super) fn fail(&self) {
        self.has_failed.store(true, Ordering::Release);
    }

    /// The same fate for an answer of the generation `life`. `reader` counts as reading until the result is dropped.
    pub(super) fn of_answer(&self, reader: Reader, life: &GenerationLife) -> Self {
        Self {
            has_failed: self.has_failed.clone(),
            _reader: Some(Arc::new(reader)),
            cut: Some(life.cut.clone()),
        }
    }
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("the time limit of the request was reached")]
    TimedOut,
    #[error("no instance could be made: {}", .0.root_cause())]
    NoInstance(wasmtime::Error),
    #[error("its instance ended before it had answered")]
    InstanceEnded,
    #[error("{}", .0.root_cause())]
    Failed(wasmtime::Error),
}

impl NoAnswer {
    /// Whether the host has no room for another instance. Then no version was asked, so no version is to blame.
    pub(crate) fn is_shortage(&self) -> bool {
        matches!(self, Self::NoInstance(error) if error.is::<PoolConcurrencyLimitError>())
    }
}

/// An answer with the fate of its instance, or the reason why there is none.
pub(crate) type Answer = Result<(Response<WasiBody>, InstanceFate), NoAnswer>;

/// A request on its way to an instance.
pub(crate) struct Job {
    pub(crate) admitted: Admission,
    pub(crate) request: Request<WasiBody>,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// The span of the wait. It ends when an instance takes the request.
    pub(crate) wait: Span,
}

/// The instances of one generation. Each of them lives in a task of its own.
#[derive(Clone)]
pub(crate) struct Instances(Arc<Inner>);

struct Inner {
    component: Arc<Context>,
    engine: Engine,
    service: ServicePre<State>,
    life: Arc<GenerationLife>,
    queue: Queue<Job>,
}

impl Instances {
    /// Makes the set without an instance; the first request makes one. Must be called inside a runtime.
    pub(crate) fn new(
        component: Arc<Context>,
        version: &Version,
        life: Arc<GenerationLife>,
    ) -> Self {
        let service = version.compiled.service.clone();
        Self(Arc::new(Inner {
            component,
            engine: service.engine().clone(),
            service,
            life,
            queue: Queue::new(Handle::current().metrics().num_workers()),
        }))
    }

    /// Lets an instance answer the request. If the future is dropped, the instance works on. `trace` is the request's.
    ///
    /// # Errors
    /// The component gives no answer, or not in time.
    pub(crate) async fn handle(
        &self,
        admitted: Admission,
        request: Request<WasiBody>,
        trace: &Trace,
    ) -> Answer {
        let (sender, answer) = oneshot::channel();
        let is_urgent = admitted.is_urgent;
        let asker = admitted.client();
        let began = Instant::now();
        let wait = trace.span_at("wait for an instance", Kind::Internal, began);
        let job = Job {
            admitted,
            request,
            answer: sender,
            wait,
        };
        let (need, watch) = if is_urgent {
            self.queue().push_first(job)
        } else {
            self.queue().push(asker, job)
        };
        self.meet(need);
        if watch == WatchdogState::Needed {
            tokio::spawn(self.clone().watch());
        }
        let deadline = began + self.component().limits.request_timeout;
        match timeout_at(deadline.into(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(NoAnswer::InstanceEnded),
            Err(_) => Err(NoAnswer::TimedOut),
        }
    }

    /// Checks regularly whether a request has waited long, as long as any request waits.
    async fn watch(self) {
        loop {
            tokio::time::sleep(PATIENCE).await;
            match self.queue().watch() {
                Some(need) => self.meet(need),
                None => return,
            }
        }
    }

    /// Starts an instance, if one is needed.
    pub(crate) fn meet(&self, need: Need) {
        // There is no runtime only while the process ends.
        if let Need::Instance(seat) = need
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(self.clone().start(seat));
        }
    }

    /// Whether the host has few instances left for all its components.
    pub(crate) fn are_short(&self) -> bool {
        is_short_of_instances(&self.0.engine)
    }

    pub(crate) fn component(&self) -> &Arc<Context> {
        &self.0.component
    }

    pub(crate) fn life(&self) -> &Arc<GenerationLife> {
        &self.0.life
    }

    pub(crate) fn queue(&self) -> &Queue<Job> {
        &self.0.queue
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use wasmtime::{
        Config, Instance, InstanceAllocationStrategy, Module, PoolingAllocationConfig, Store,
    };

    use super::*;

    /// The error when the host has no room for an instance.
    pub(crate) fn shortage() -> NoAnswer {
        let mut pool = PoolingAllocationConfig::default();
        pool.total_core_instances(0)
            .total_memories(1)
            .total_tables(1)
            .total_stacks(1);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).expect("an engine");
        let module = Module::new(&engine, b"\0asm\x01\0\0\0").expect("an empty module");
        let made = Instance::new(Store::new(&engine, ()), &module, &[]);
        NoAnswer::NoInstance(made.expect_err("there is room for none"))
    }

    #[test]
    fn a_host_without_room_is_short_and_a_component_that_fails_is_not() {
        assert!(shortage().is_shortage());
        let failed = || wasmtime::format_err!("no start");
        for other in [
            NoAnswer::NoInstance(failed()),
            NoAnswer::Failed(failed()),
            NoAnswer::InstanceEnded,
            NoAnswer::TimedOut,
        ] {
            assert!(!other.is_shortage(), "{other}");
        }
    }
}
