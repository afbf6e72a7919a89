//! What a wasmtime store holds for one instance.

use std::sync::Arc;

use wasmtime::component::ResourceTable;

use crate::context::Context;
use crate::limits::MemoryLimiter;
use crate::wasi::Wasi;

/// One instance's own things, beside what its component shares.
pub(crate) struct State {
    /// Shared by all instances of the component.
    pub(crate) component: Arc<Context>,
    /// The resources the instance holds: connections, streams, requests.
    pub(crate) table: ResourceTable,
    pub(crate) wasi: Wasi,
    pub(crate) memory: MemoryLimiter,
}

impl State {
    pub(crate) fn new(component: Arc<Context>) -> Self {
        Self {
            table: ResourceTable::new(),
            wasi: Wasi::new(&component),
            memory: MemoryLimiter::new(component.limits.memory_limit_bytes()),
            component,
        }
    }
}
