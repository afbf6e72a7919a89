//! Instances of one component and the requests they serve, by wasmtime's own `ProxyHandler`: it reuses an instance for
//! many requests, some of them at once.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use wasmtime::component::GuestTaskId;
use wasmtime::{Engine, Store, StoreContextMut, Trap};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState,
    WorkerStatus,
};

use crate::context::Context;
use crate::engine::EPOCH;
use crate::generation::{Life, Version};
use crate::metrics::InUse;
use crate::state::State;

/// How many times the limit of a request an instance may go on after its last answer, to stream bodies for example.
const AFTER_ANSWER: u32 = 10;

/// A request that was let in.
pub(crate) struct Admitted {
    pub(crate) id: Arc<str>,
    /// Held until the guest has answered or its time is over, even if the client has left: the guest works on. A probe
    /// has none.
    pub(crate) permit: Option<Arc<OwnedSemaphorePermit>>,
    pub(crate) fate: Fate,
    /// Held until an instance has the request; see [`Generation::turn`](crate::generation::Generation::turn).
    pub(crate) turn: Option<OwnedSemaphorePermit>,
}

/// Whether the instance that took a request ended in a trap or at a limit. The body of an answer only knows that
/// nothing more comes, and would look complete to a client.
#[derive(Clone, Default)]
pub(crate) struct Fate(Arc<OnceLock<Arc<AtomicBool>>>);

impl Fate {
    pub(crate) fn has_failed(&self) -> bool {
        self.0
            .get()
            .is_some_and(|failed| failed.load(Ordering::Acquire))
    }
}

/// Makes instances of one generation.
pub(crate) struct Instances {
    component: Arc<Context>,
    engine: Engine,
    service: ProxyPre<State>,
    life: Arc<Life>,
}

impl Instances {
    pub(crate) fn new(component: Arc<Context>, version: &Version, life: Arc<Life>) -> Self {
        let service = version.compiled.service.clone();
        Self {
            component,
            engine: service.engine().clone(),
            service: ProxyPre::P3(service),
            life,
        }
    }

    /// An instance in a store of its own.
    async fn make(&self) -> wasmtime::Result<(Store<State>, Proxy)> {
        let mut store = new_store(&self.engine, &self.component);
        let limit = self.component.limits.request_timeout;
        // A start function can loop as well as a request can.
        let proxy = tokio::select! {
            made = self.service.instantiate_async(&mut store) => made?,
            () = tokio::time::sleep(limit) => wasmtime::bail!("not instantiated within {limit:?}"),
            () = self.life.cut.cancelled() => wasmtime::bail!("its generation has ended"),
        };
        Ok((store, proxy))
    }
}

/// A store for one instance of a component, with its limits set.
pub(crate) fn new_store(engine: &Engine, component: &Arc<Context>) -> Store<State> {
    let mut store = Store::new(engine, State::new(component.clone()));
    store.limiter(|state| &mut state.memory);
    // A busy instance gives its thread back at each tick, which is when time limits are looked at.
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Worker>> {
        let alive = self.component.metrics.instance(&self.component.id);
        let (store, proxy) = self.make().await.inspect_err(|error| {
            if error.is::<Trap>() {
                self.component.metrics.trap(&self.component.id);
            }
        })?;
        let limits = &self.component.limits;
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Expiration {
                idle: limits.instance_idle,
                // The request's own limit answers the client; this one ends the instance if it won't stop.
                busy: limits.request_timeout + (4 * EPOCH).min(limits.request_timeout / 20),
                after: AFTER_ANSWER * limits.request_timeout,
                sleep: Box::pin(tokio::time::sleep(limits.instance_idle)),
                ending: Ending::new(&self.life),
            },
            state: Worker {
                component: self.component.clone(),
                cut: self.life.cut.clone(),
                failed: Arc::default(),
                _alive: alive,
            },
        })
    }
}

/// Ends an instance that has nothing to do, or that does not stop.
pub(crate) struct Expiration {
    idle: Duration,
    busy: Duration,
    after: Duration,
    sleep: Pin<Box<Sleep>>,
    ending: Ending,
}

/// Notices that the generation is retired, and then that its time for finishing is over.
struct Ending {
    life: Arc<Life>,
    retired: bool,
    /// The next of the two.
    next: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Ending {
    fn new(life: &Arc<Life>) -> Self {
        Self {
            life: life.clone(),
            retired: false,
            next: Box::pin(life.retired.clone().cancelled_owned()),
        }
    }

    /// Whether an instance that is so busy must end now.
    fn is_due(&mut self, cx: &mut TaskContext<'_>, status: WorkerStatus) -> bool {
        if !self.retired && self.next.as_mut().poll(cx).is_ready() {
            self.retired = true;
            self.next = Box::pin(self.life.cut.clone().cancelled_owned());
        }
        self.retired && (status == WorkerStatus::Idle || self.next.as_mut().poll(cx).is_ready())
    }
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        if self.ending.is_due(cx, status) {
            return Poll::Ready(());
        }
        let limit = match status {
            WorkerStatus::Idle => self.idle,
            WorkerStatus::Requests => self.busy,
            WorkerStatus::PostReturn => self.after,
        };
        let deadline = (start + limit).into();
        if self.sleep.deadline() != deadline {
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// Decides which requests an instance takes, and reports how it ended.
pub(crate) struct Worker {
    component: Arc<Context>,
    /// That of its generation: what ends by it is no fault of the component.
    cut: CancellationToken,
    /// What the requests' [`Fate`] looks at. Written when the instance ends.
    failed: Arc<AtomicBool>,
    _alive: InUse,
}

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = Admitted;

    fn should_accept_request(&self, at_once: usize, total: usize) -> ShouldAccept {
        let limits = &self.component.limits;
        if total >= limits.instance_requests as usize {
            ShouldAccept::Never
        } else if at_once >= limits.instance_concurrency as usize {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, State>,
        request: Admitted,
        task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        drop(request.turn);
        store.data_mut().wasi.begin_request(task, request.id);
        // A request comes to one instance only.
        _ = request.fate.0.set(self.failed.clone());
        let limit = tokio::time::sleep(self.component.limits.request_timeout);
        let permit = request.permit;
        Box::pin(async move {
            limit.await;
            drop(permit);
        })
    }

    fn drop(&self, store: Store<State>, result: wasmtime::Result<()>) {
        self.failed.store(result.is_err(), Ordering::Release);
        // Bodies end here.
        drop(store);
        if let Err(error) = result
            && !self.cut.is_cancelled()
        {
            let component = &self.component.id;
            self.component.metrics.trap(component);
            tracing::error!(
                component,
                "An instance of `{component}` ended: {}",
                error.root_cause()
            );
            tracing::debug!(component, "{error:?}");
        }
    }
}
