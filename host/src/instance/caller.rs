//! The requests that one instance works for, many at a time.

use std::collections::HashMap;

use http::{HeaderMap, Method};
use store_server::trace::{Ids, Trace, WeakTrace};
use wasmtime::component::{GuestTaskId, Resource};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p3::Request;

use crate::clients::Asker;
use crate::message::RequestId;

/// Most headers that the host adds: `x-request-id`, `traceparent` and `tracestate`.
const MOST_ADDED: usize = 3;

/// A request that a guest works for.
pub(crate) struct Caller {
    pub(crate) request: RequestId,
    pub(crate) client: Asker,
    pub(super) progress: CallerProgress,
    /// Whether the request has got data that may be stale.
    pub(super) reads_stale: bool,
    /// Until the guest asks for the headers of its request, or answers: what it has not asked for.
    unread: Option<UnreadHeaders>,
}

/// The headers of a request that its guest has not asked for. They still lack what the host adds. The store's reads
/// never ask, so nothing is added before a guest asks.
pub(super) struct UnreadHeaders {
    /// The number of the resource that stands for the request, until the guest gives that away.
    number: u32,
    /// The same as the request's own. As long as they are held, no other request's are at the same place in memory.
    headers: FieldMap,
}

impl UnreadHeaders {
    /// The headers of a `request` that is the guest's `resource`.
    pub(super) fn of(resource: &Resource<Request>, headers: FieldMap) -> Self {
        Self {
            number: resource.rep(),
            headers,
        }
    }

    /// The guest's resource, if it still has it.
    pub(super) fn resource(&self) -> Resource<Request> {
        Resource::new_borrow(self.number)
    }

    /// Whether these are the headers of that very request.
    pub(super) fn are(&self, headers: &FieldMap) -> bool {
        std::ptr::eq::<HeaderMap>(&*self.headers, &**headers)
    }
}

/// What the host adds to the headers of a request.
pub(super) struct AddedHeaders {
    id: RequestId,
    trace: WeakTrace,
}

impl AddedHeaders {
    /// Adds them, in place of a client's own.
    pub(super) fn put(&self, headers: &mut HeaderMap) {
        headers.reserve(MOST_ADDED);
        self.id.put(headers);
        self.trace.put(headers);
    }
}

impl Caller {
    /// A request that a guest begins to work for.
    pub(super) fn new(
        id: RequestId,
        client: Asker,
        progress: CallerProgress,
        unread: UnreadHeaders,
    ) -> Self {
        Self {
            request: id,
            client,
            progress,
            reads_stale: false,
            unread: Some(unread),
        }
    }

    fn added_headers(&self) -> AddedHeaders {
        AddedHeaders {
            id: self.request.clone(),
            trace: self.progress.trace.clone(),
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

    /// What these headers still lack, if they are those of a request that a guest asks for the first time. Whichever
    /// task asks, it is the request itself that counts, and no guest can make one that is taken for a client's.
    pub(super) fn take_lacking(&mut self, headers: &FieldMap) -> Option<AddedHeaders> {
        let is_unread = |caller: &&mut Caller| {
            let unread = caller.unread.as_ref();
            unread.is_some_and(|unread| unread.are(headers))
        };
        let caller = self.0.values_mut().find(is_unread)?;
        caller.unread = None;
        Some(caller.added_headers())
    }

    /// Records that the task has answered. Returns the headers of its request, if it has not asked for them.
    pub(super) fn answered(&mut self, task: GuestTaskId) -> Option<UnreadHeaders> {
        let caller = self.0.get_mut(&task)?;
        caller.progress.stage = Stage::Done;
        caller.unread.take()
    }

    /// Keeps the headers of a task's request until the guest asks for them.
    pub(super) fn keep(&mut self, task: GuestTaskId, unread: UnreadHeaders) {
        if let Some(caller) = self.0.get_mut(&task) {
            caller.unread = Some(unread);
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
