//! What a wasmtime store holds for one instance.

use std::sync::Arc;

use store_server::trace::Trace;
use wasmtime::component::ResourceTable;

use super::caller::Callers;
use super::context::Context;
use super::generation::GenerationLife;
use super::limits::MemoryLimiter;
use super::share::MemoryShare;
use super::wasi::Wasi;

/// One instance's own things, beside what its component shares.
pub(crate) struct State {
    /// Shared by all instances of the component.
    pub(crate) component: Arc<Context>,
    /// Shared by all instances of its generation.
    pub(crate) life: Arc<GenerationLife>,
    /// What the host may hold for it.
    pub(crate) share: MemoryShare,
    /// The resources the instance holds: connections, streams, requests.
    pub(crate) table: ResourceTable,
    pub(crate) callers: Callers,
    /// Where its trace is if it works for no request.
    pub(crate) trace: Trace,
    pub(crate) wasi: Wasi,
    pub(crate) memory: MemoryLimiter,
}

impl State {
    pub(crate) fn new(component: Arc<Context>, life: Arc<GenerationLife>) -> Self {
        let limit = component.limits.memory_limit_bytes();
        let share = MemoryShare::of(limit);
        Self {
            table: ResourceTable::new(),
            callers: Callers::default(),
            trace: Trace::off(),
            wasi: Wasi::new(&component),
            memory: MemoryLimiter::new(limit, share.clone()),
            component,
            life,
            share,
        }
    }
}
