//! Whom a guest works for when it calls the host: one instance works for many at once.

use std::collections::HashMap;

use wasmtime::StoreContextMut;
use wasmtime::component::GuestTaskId;

use super::state::State;
use crate::clients::Asker;
use crate::message::RequestId;

/// A request that a guest works for.
pub(crate) struct Caller {
    pub(crate) request: RequestId,
    pub(crate) client: Asker,
}

/// The requests of one instance, by the task that serves each. A task may go on long after its answer has begun; when it
/// has ended, another gets its number, so that there are as many of these as there were ever at once.
#[derive(Default)]
pub(crate) struct Callers(HashMap<GuestTaskId, Caller>);

impl Callers {
    /// Remembers for whom a task works.
    pub(crate) fn begin(&mut self, task: GuestTaskId, caller: Caller) {
        self.0.insert(task, caller);
    }
}

/// For whom the guest makes the call to the host that runs now. None for what is no request, a refresh for example.
///
/// # Errors
/// Wasmtime has lost track of its tasks, which is a fault of its own.
pub(crate) fn caller<'a>(
    store: &'a mut StoreContextMut<'_, State>,
) -> wasmtime::Result<Option<&'a Caller>> {
    let mut tasks = store.async_call_stack()?.collect::<Vec<_>>().into_iter();
    let callers = &store.data().callers.0;
    Ok(tasks.find_map(|task| callers.get(&task)))
}
