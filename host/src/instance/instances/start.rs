//! How an instance comes to be, and what its end means for the requests that wait.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use wasmtime::{Engine, Store, Trap};
use wasmtime_wasi_http::p3::bindings::Service;

use super::{Instances, NoAnswer};
use crate::instance::context::Context;
use crate::instance::life::GenerationLife;
use crate::instance::roster::Seat;
use crate::instance::state::State;
use crate::instance::worker;

impl Instances {
    /// Makes an instance, and lets it work until it ends.
    pub(super) async fn start(self, seat: Seat) {
        let mut seated = SeatGuard {
            instances: &self,
            seat,
            was_made: false,
        };
        let component = self.component();
        let _alive = component.metrics.instance(&component.id);
        // A panic must not escape: the request would stay in the queue, and each new instance would be made for it and
        // panic again.
        let made = AssertUnwindSafe(self.make()).catch_unwind().await;
        match made.unwrap_or_else(|_| Err(wasmtime::format_err!("a panic; see the log"))) {
            Ok((store, service)) => {
                seated.was_made = true;
                worker::run(&self, &mut seated.seat, store, service).await;
            }
            Err(error) => {
                if error.is::<Trap>() {
                    component.metrics.trap(&component.id);
                }
                if let Some(job) = self.queue().refuse(&mut seated.seat) {
                    // The receiver is gone if the client has left.
                    _ = job.answer.send(Err(NoAnswer::NoInstance(error)));
                }
            }
        }
    }

    /// Makes an instance in a wasmtime store of its own.
    async fn make(&self) -> wasmtime::Result<(Store<State>, Service)> {
        let mut store = new_store(&self.0.engine, self.component(), self.life());
        let limit = self.component().limits.request_timeout;
        // The time limit is needed because a start function may loop.
        let service = tokio::select! {
            made = self.0.service.instantiate_async(&mut store) => made?,
            () = tokio::time::sleep(limit) => wasmtime::bail!("not instantiated within {limit:?}"),
            () = self.life().cut.cancelled() => wasmtime::bail!("its generation has ended"),
        };
        Ok((store, service))
    }
}

/// The seat of an instance. When it is dropped, for whatever reason, another instance is called if requests wait.
struct SeatGuard<'a> {
    instances: &'a Instances,
    seat: Seat,
    was_made: bool,
}

impl Drop for SeatGuard<'_> {
    fn drop(&mut self) {
        let queue = self.instances.queue();
        self.instances
            .meet(queue.leave(&mut self.seat, self.was_made));
    }
}

/// The most handles that an instance may hold, if its limit of requests at once does not give it more. The host holds
/// something for each of them: for a head up to 16 KiB (see `wasi`), so for all of them at most as much as the default
/// memory limit.
const HANDLES: usize = 8192;

/// How many handles an instance may hold for each request that it may have at once.
const HANDLES_PER_REQUEST: usize = 64;

/// Makes a wasmtime store for one instance of a component, with its limits set.
pub(crate) fn new_store(
    engine: &Engine,
    component: &Arc<Context>,
    life: &Arc<GenerationLife>,
) -> Store<State> {
    let state = State::new(component.clone(), life.id, life.redis.clone());
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    let of_requests = component.limits.instance_concurrency as usize * HANDLES_PER_REQUEST;
    store.set_max_component_handles(HANDLES.max(of_requests));
    // At each epoch tick a busy instance yields its thread. Time limits are checked then.
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store
}
