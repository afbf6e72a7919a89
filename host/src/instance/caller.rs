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
    pub(super) errand: Errand,
}

impl Caller {
    /// Where its trace is.
    pub(super) fn ids(&self) -> Option<Ids> {
        self.errand.trace.upgrade().ids()
    }
}

/// What the trace of a request says of it while a guest works for it.
#[derive(Default)]
pub(super) struct Errand {
    /// Where the guest runs for it.
    trace: WeakTrace,
    /// What it is to change, if it is traced and not a mere question: requests that change the same may be done in one.
    subject: Option<(Method, Box<str>)>,
    /// Whether it has neither an answer nor had a connection of its own.
    is_waiting: bool,
}

impl Errand {
    /// Of a request for which the guest begins to run at `trace`.
    pub(super) fn new<B>(trace: &Trace, request: &http::Request<B>) -> Self {
        let (method, path) = (request.method(), request.uri().path());
        let may_change = trace.is_on() && !method.is_safe();
        Self {
            trace: trace.downgrade(),
            subject: may_change.then(|| (method.clone(), path.into())),
            is_waiting: true,
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
            caller.errand.is_waiting = false;
        }
    }

    /// Where the trace is of the request that opens a connection to MySQL. Others of the same kind that wait in this
    /// instance without one are probably done by this one: the two are linked, in both directions.
    fn lead(&mut self, task: GuestTaskId) -> Trace {
        let Some(errand) = self.0.get_mut(&task).map(|caller| &mut caller.errand) else {
            return Trace::off();
        };
        let trace = errand.trace.upgrade();
        let is_first = std::mem::replace(&mut errand.is_waiting, false);
        let subject = errand.subject.clone();
        if !(is_first && subject.is_some()) {
            return trace;
        }
        let others = self.0.values().map(|caller| &caller.errand);
        for other in others.filter(|other| other.is_waiting && other.subject == subject) {
            let member = other.trace.upgrade();
            trace.link(&member);
            member.link(&trace);
        }
        trace
    }
}

/// For whom a connection is opened.
pub(crate) struct Opener {
    pub(crate) client: Asker,
    /// Where what goes over it belongs to.
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
pub(crate) fn leader(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<Opener> {
    let task = task(store)?;
    let state = store.data_mut();
    let client = task.and_then(|task| state.callers.0.get(&task)?.client);
    let trace = match task {
        Some(task) => state.callers.lead(task),
        None => state.trace.clone(),
    };
    Ok(Opener { client, trace })
}

/// For whom the guest opens a connection to Redis.
///
/// # Errors
/// As [`caller`].
pub(crate) fn opener(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<Opener> {
    let task = task(store)?;
    let state = store.data();
    let caller = task.and_then(|task| state.callers.0.get(&task));
    Ok(match caller {
        Some(caller) => Opener {
            client: caller.client,
            trace: caller.errand.trace.upgrade(),
        },
        None => Opener {
            client: None,
            trace: state.trace.clone(),
        },
    })
}

/// The task of the request that the guest works for.
fn task(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<Option<GuestTaskId>> {
    let mut tasks = store.async_call_stack()?.collect::<Vec<_>>().into_iter();
    let callers = &store.data().callers.0;
    Ok(tasks.find(|task| callers.contains_key(task)))
}
