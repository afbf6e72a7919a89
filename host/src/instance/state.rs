//! What a wasmtime store holds for one instance.

use std::sync::Arc;

use store_server::trace::Trace;
use wasmtime::component::ResourceTable;

use super::caller::Callers;
use super::context::Context;
use super::limits::MemoryLimiter;
use super::share::MemoryShare;
use super::wasi::Wasi;
use crate::redis;

/// What belongs to one instance, and references to what it shares.
pub(crate) struct State {
    /// Shared by all instances of the component.
    pub(crate) component: Arc<Context>,
    /// The id of the generation, which no other generation in this process ever has.
    pub(crate) generation: u64,
    /// Shared by all instances of the generation.
    pub(crate) redis: Arc<redis::Connections>,
    /// The bytes that the host may hold for this instance.
    pub(crate) share: MemoryShare,
    /// The resources that the instance holds: connections, streams, requests.
    pub(crate) table: ResourceTable,
    pub(crate) callers: Callers,
    /// The trace of work that is for no request, such as a refresh.
    pub(crate) trace: Trace,
    pub(crate) wasi: Wasi,
    pub(crate) memory: MemoryLimiter,
}

impl State {
    pub(crate) fn new(
        component: Arc<Context>,
        generation: u64,
        redis: Arc<redis::Connections>,
    ) -> Self {
        let limit = component.limits.memory_limit_bytes();
        let share = MemoryShare::of(limit);
        Self {
            table: ResourceTable::new(),
            callers: Callers::default(),
            trace: Trace::off(),
            wasi: Wasi::new(&component),
            memory: MemoryLimiter::new(limit, share.clone()),
            component,
            generation,
            redis,
            share,
        }
    }
}
