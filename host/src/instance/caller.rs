//! Whom a guest works for when it calls the host: one instance works for many at once.

use std::collections::HashMap;

use http::Method;
use store_server::trace::{Ids, Trace, WeakTrace};
use wasmtime::StoreContextMut;
use wasmtime::component::GuestTaskId;

use super::state::State;
use crate::clients::Asker;
use crate::message::RequestId;

/// A request that a guest works for.
pub(crate) struct Caller {
    pub(crate) request: RequestId,
    pub(crate) client: Asker,
    pub(super) progress: CallerProgress,
}

impl Caller {
    /// Where its trace is.
    pub(super) fn ids(&self) -> Option<Ids> {
        self.progress.trace.upgrade().ids()
    }
}

/// What the trace of a request says of it while a guest works for it.
#[derive(Default)]
pub(super) struct CallerProgress {
    /// Where the guest runs for it.
    trace: WeakTrace,
    /// The method and path of the request, if it is traced and may change something: requests that have both in common
    /// may be done in one transaction.
    subject: Option<(Method, Box<str>)>,
    stage: Stage,
}

/// How far the work on a request is, as far as one can tell from its calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// It has no answer yet and has had no connection to MySQL: another request may do its work.
    #[default]
    Waiting,
    /// It had a connection.
    Connected,
    /// It has an answer, or began a transaction that does its work and perhaps that of others.
    Done,
}

impl CallerProgress {
    /// That of a request for which the guest begins to run at `trace`.
    pub(super) fn new<B>(trace: &Trace, request: &http::Request<B>) -> Self {
        let (method, path) = (request.method(), request.uri().path());
        let may_change = trace.is_on() && !method.is_safe();
        Self {
            trace: trace.downgrade(),
            subject: may_change.then(|| (method.clone(), path.into())),
            stage: Stage::Waiting,
        }
    }
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

    /// Takes note of an answer.
    pub(super) fn answered(&mut self, task: GuestTaskId) {
        if let Some(caller) = self.0.get_mut(&task) {
            caller.progress.stage = Stage::Done;
        }
    }

    /// Takes note of a connection to MySQL, which is the task's own from now on.
    fn connected(&mut self, task: GuestTaskId) {
        if let Some(Caller { progress, .. }) = self.0.get_mut(&task)
            && progress.stage == Stage::Waiting
        {
            progress.stage = Stage::Connected;
        }
    }

    /// Takes note of a transaction that begins. Others of the same kind that wait in this instance without a connection
    /// are probably done by this one: the two are linked, in both directions.
    fn lead(&mut self, task: GuestTaskId) {
        let Some(Caller { progress, .. }) = self.0.get_mut(&task) else {
            return;
        };
        if progress.subject.is_none() || progress.stage != Stage::Connected {
            return;
        }
        progress.stage = Stage::Done;
        let (trace, subject) = (progress.trace.upgrade(), progress.subject.clone());
        let others = self.0.values().map(|caller| &caller.progress);
        for other in
            others.filter(|other| other.stage == Stage::Waiting && other.subject == subject)
        {
            let member = other.trace.upgrade();
            trace.link(&member);
            member.link(&trace);
        }
    }
}

/// For whom the guest asks a database or a cache.
pub(crate) struct Requester {
    /// Whose turn it is.
    pub(crate) client: Asker,
    /// Where the spans of it belong.
    pub(crate) trace: Trace,
}

/// For whom the guest makes the call to the host that runs now. None for what is no request, a refresh for example.
///
/// # Errors
/// Wasmtime has lost track of its tasks, which is a fault of its own.
pub(crate) fn caller<'a>(
    store: &'a mut StoreContextMut<'_, State>,
) -> wasmtime::Result<Option<&'a Caller>> {
    let task = task(store)?;
    Ok(task.and_then(|task| store.data().callers.0.get(&task)))
}

/// For whom the guest opens a connection to MySQL.
///
/// # Errors
/// As [`caller`].
pub(crate) fn connected(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<Requester> {
    if let Some(task) = task(store)? {
        store.data_mut().callers.connected(task);
    }
    opener(store)
}

/// Takes note that the guest makes the first statement of a transaction. All requests whose work the transaction may do
/// have come by now.
///
/// # Errors
/// As [`caller`].
pub(crate) fn lead(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<()> {
    if let Some(task) = task(store)? {
        store.data_mut().callers.lead(task);
    }
    Ok(())
}

/// For whom the guest opens a connection: a request, or what the instance does for none.
///
/// # Errors
/// As [`caller`].
pub(crate) fn opener(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<Requester> {
    let requester = requester(store)?;
    Ok(requester.unwrap_or_else(|| Requester {
        client: None,
        trace: store.data().trace.clone(),
    }))
}

/// For which request the guest makes the call to the host that runs now. None as for [`caller`].
///
/// # Errors
/// As [`caller`].
pub(crate) fn requester(
    store: &mut StoreContextMut<'_, State>,
) -> wasmtime::Result<Option<Requester>> {
    let caller = caller(store)?;
    Ok(caller.map(|caller| Requester {
        client: caller.client,
        trace: caller.progress.trace.upgrade(),
    }))
}

/// The task of the request that the guest works for.
fn task(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<Option<GuestTaskId>> {
    let mut tasks = store.async_call_stack()?.collect::<Vec<_>>().into_iter();
    let callers = &store.data().callers.0;
    Ok(tasks.find(|task| callers.contains_key(task)))
}
