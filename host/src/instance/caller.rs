//! The requests that one instance works for, many at a time.

use std::collections::HashMap;

use http::{HeaderMap, Method};
use store_server::trace::{Ids, Trace, WeakTrace};
use wasmtime::component::{GuestTaskId, Resource};
use wasmtime_wasi_http::p3::Request;

use crate::clients::Asker;
use crate::message::RequestId;

/// A request that a guest works for.
pub(crate) struct Caller {
    pub(crate) request: RequestId,
    pub(crate) client: Asker,
    pub(super) progress: CallerProgress,
    /// Whether the request has got data that may be stale.
    pub(super) reads_stale: bool,
    /// The number of the resource whose headers still lack what the host adds to them.
    incomplete: Option<u32>,
}

/// What the host adds to the headers of a request.
pub(super) struct AddedHeaders {
    id: RequestId,
    trace: WeakTrace,
}

impl AddedHeaders {
    /// Adds them, in place of a client's own.
    pub(super) fn put(&self, headers: &mut HeaderMap) {
        self.id.put(headers);
        self.trace.put(headers);
    }
}

impl Caller {
    /// A request that a guest begins to work for, and the `resource` that stands for it.
    pub(super) fn new(
        id: RequestId,
        client: Asker,
        progress: CallerProgress,
        resource: &Resource<Request>,
    ) -> Self {
        Self {
            request: id,
            client,
            progress,
            reads_stale: false,
            incomplete: Some(resource.rep()),
        }
    }

    /// Where the guest's work belongs in the request's trace.
    pub(super) fn trace(&self) -> Trace {
        self.progress.trace.upgrade()
    }

    /// The trace and span ids of the request, if it is traced.
    pub(super) fn ids(&self) -> Option<Ids> {
        self.progress.trace.ids()
    }
}

/// What the trace of a request records while a guest works for it.
#[derive(Default)]
pub(super) struct CallerProgress {
    /// Where the guest's work belongs in the request's trace.
    trace: WeakTrace,
    /// The method and path of the request, if it is traced and may change something. One transaction may do the work of
    /// several requests that have the same method and path.
    subject: Option<(Method, Box<str>)>,
    stage: Stage,
}

/// The progress of the work on a request, as its calls show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The request has no answer and has had no connection to MySQL. Another request's transaction may do its work.
    #[default]
    Waiting,
    /// The request has had a connection to MySQL.
    Connected,
    /// The request has begun a transaction that does its work and perhaps that of other requests.
    Leading,
    /// The request has an answer.
    Done,
}

impl CallerProgress {
    /// The progress of a request that a guest begins to work for, at this point of `trace`.
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

/// The requests of one instance, by the guest task that serves each. A task may run long after its answer has begun.
/// When a task has ended, another one gets its number, so this map is only as long as the most tasks that ever ran at
/// once.
#[derive(Default)]
pub(crate) struct Callers(HashMap<GuestTaskId, Caller>);

impl Callers {
    /// The request that a task works for; `None` if the task works for none.
    pub(super) fn get(&self, task: GuestTaskId) -> Option<&Caller> {
        self.0.get(&task)
    }

    /// Records the request that a task works for.
    pub(crate) fn begin(&mut self, task: GuestTaskId, caller: Caller) {
        self.0.insert(task, caller);
    }

    /// The only request that has no answer yet; `None` if there is none or several.
    pub(super) fn only_one(&self) -> Option<&Caller> {
        let callers = self.0.values();
        let mut open = callers.filter(|caller| caller.progress.stage != Stage::Done);
        let first = open.next()?;
        open.next().is_none().then_some(first)
    }

    /// What the headers of a `resource` lack: those of the request that the task works for, when they are asked for the
    /// first time. Most guests never ask.
    pub(super) fn lacking(
        &mut self,
        task: GuestTaskId,
        resource: &Resource<Request>,
    ) -> Option<AddedHeaders> {
        let caller = self.0.get_mut(&task)?;
        caller
            .incomplete
            .take_if(|number| *number == resource.rep())?;
        Some(AddedHeaders {
            id: caller.request.clone(),
            trace: caller.progress.trace.clone(),
        })
    }

    /// Records that the task has answered.
    pub(super) fn answered(&mut self, task: GuestTaskId) {
        if let Some(caller) = self.0.get_mut(&task) {
            caller.progress.stage = Stage::Done;
        }
    }

    /// Records that the task gets data from MySQL that may be stale.
    pub(crate) fn reads_stale(&mut self, task: GuestTaskId) {
        if let Some(caller) = self.0.get_mut(&task) {
            caller.reads_stale = true;
        }
    }

    /// Records that the task has a connection to MySQL of its own.
    pub(super) fn connected(&mut self, task: GuestTaskId) {
        if let Some(Caller { progress, .. }) = self.0.get_mut(&task)
            && progress.stage == Stage::Waiting
        {
            progress.stage = Stage::Connected;
        }
    }

    /// Records that the task begins a transaction. This transaction probably does the work of the same kind of requests
    /// that wait in this instance without a connection, so their traces are linked to this one, and this one to theirs.
    pub(super) fn lead(&mut self, task: GuestTaskId) {
        let Some(Caller { progress, .. }) = self.0.get_mut(&task) else {
            return;
        };
        if progress.subject.is_none() || progress.stage != Stage::Connected {
            return;
        }
        progress.stage = Stage::Leading;
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
