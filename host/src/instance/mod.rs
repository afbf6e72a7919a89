//! Runs requests: the instances of one generation of a component, and all that wasmtime needs to make them.
//!
//! Requests of a `generation` wait in its `queue` until a `worker`, one instance at work, takes them. `engine`,
//! `compiler` and `component` make the code that instances run. `state` holds what belongs to one instance, `context`
//! what all generations of the component share. Nothing here knows routes, or which generation serves.
//!
//! `mysql` and `redis` import this room, and this room imports them: wasmtime calls their functions with our `State`,
//! and the `bindings` name their types. Their files form no circle: `State` and the bindings lie above what a
//! connection is, and below what a guest can do with it.

mod bell;
pub(crate) mod bindings;
mod caller;
mod compiler;
mod component;
mod context;
pub(crate) mod engine;
mod expiry;
mod generation;
mod guest_log;
mod instances;
mod life;
mod limits;
mod log_limit;
mod occupancy;
mod phase;
mod probe;
mod processor_turn;
mod queue;
mod readers;
pub(crate) mod refresh;
mod requester;
mod roster;
mod share;
pub(crate) mod source;
mod state;
mod variables;
mod version;
mod wasi;
mod worker;

pub(crate) use compiler::Compiler;
pub(crate) use component::{Code, CompileError};
pub(crate) use context::Context;
pub(crate) use engine::EpochTicker;
pub(crate) use generation::Generation;
#[cfg(test)]
pub(crate) use instances::tests::shortage;
pub(crate) use instances::{Admission, Answer, InstanceFate, NoAnswer, RequestOwner, RequestPlace};
pub(crate) use life::{GenerationLife, InFlight};
pub(crate) use log_limit::LogLimit;
pub(crate) use probe::Probe;
pub(crate) use requester::{Requester, connected, lead, opener, request_task, requester};
pub(crate) use share::{HeldBytes, MemoryShare, NoRoom, StreamShare};
pub(crate) use source::Source;
pub(crate) use state::State;
pub(crate) use version::{Origin, Version};
