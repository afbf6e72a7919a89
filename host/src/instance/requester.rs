//! Finds the request for which a guest calls the host: one instance works for many requests at a time.

use store_server::trace::Trace;
use wasmtime::StoreContextMut;
use wasmtime::component::GuestTaskId;

use super::caller::Caller;
use super::state::State;
use crate::clients::Asker;

/// The request for which a guest asks a database or a cache.
pub(crate) struct Requester {
    /// The client whose turn it is.
    pub(crate) client: Asker,
    /// The trace that the spans of this work belong to.
    pub(crate) trace: Trace,
    /// Whether it has got data from MySQL that may be stale, so that it must not write to Redis.
    pub(crate) reads_stale: bool,
}

/// The request for which the guest makes the current call to the host. `None` if the guest works for no request, as in
/// a refresh.
///
/// # Errors
/// Wasmtime has lost track of its tasks, which would be a bug of wasmtime.
pub(crate) fn caller<'a>(
    store: &'a mut StoreContextMut<'_, State>,
) -> wasmtime::Result<Option<&'a Caller>> {
    let task = request_task(store)?;
    Ok(task.and_then(|task| store.data().callers.get(task)))
}

/// The requester for whom the guest opens a connection to MySQL. Records the connection.
///
/// # Errors
/// As [`caller`].
pub(crate) fn connected(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<Requester> {
    if let Some(task) = request_task(store)? {
        store.data_mut().callers.connected(task);
    }
    opener(store)
}

/// Records that the guest sends the first statement of a transaction. By now the instance has all requests whose work
/// the transaction may do.
///
/// # Errors
/// As [`caller`].
pub(crate) fn lead(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<()> {
    if let Some(task) = request_task(store)? {
        store.data_mut().callers.lead(task);
    }
    Ok(())
}

/// The requester for whom the guest opens a connection: a request, or the instance itself if it works for none.
///
/// # Errors
/// As [`caller`].
pub(crate) fn opener(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<Requester> {
    let requester = requester(store)?;
    Ok(requester.unwrap_or_else(|| Requester {
        client: None,
        trace: store.data().trace.clone(),
        reads_stale: false,
    }))
}

/// The request for which the guest makes the current call to the host. `None` as for [`caller`].
///
/// # Errors
/// As [`caller`].
pub(crate) fn requester(
    store: &mut StoreContextMut<'_, State>,
) -> wasmtime::Result<Option<Requester>> {
    let caller = caller(store)?;
    Ok(caller.map(|caller| Requester {
        client: caller.client,
        trace: caller.trace(),
        reads_stale: caller.reads_stale,
    }))
}

/// The guest task of the request for which the guest makes the current call. `None` as for [`caller`].
///
/// # Errors
/// As [`caller`].
pub(crate) fn request_task(
    store: &mut StoreContextMut<'_, State>,
) -> wasmtime::Result<Option<GuestTaskId>> {
    // Nearly always the request's own task makes the call, not one that it has started: so no list is made.
    let innermost = store.async_call_stack()?.next();
    let works_for_one = |task: &GuestTaskId| store.data().callers.get(*task).is_some();
    if innermost.as_ref().is_some_and(works_for_one) {
        return Ok(innermost);
    }
    let mut tasks = store.async_call_stack()?.collect::<Vec<_>>().into_iter();
    let callers = &store.data().callers;
    Ok(tasks.find(|task| callers.get(*task).is_some()))
}
