//! Runs requests: the instances of one generation of a component, and all that wasmtime needs to make them.
//!
//! The bytes of a component are a `source`. In the `engine`, the `compiler` turns them into a `component`. Once
//! accepted, it is a `version`. It serves as a `generation`, whose `life` ends when nothing of it is left, with the
//! `context` that all generations of the component share.
//!
//! `instances` puts a request into the `queue`, where clients take turns and whose `roster` lists the instances. A
//! `worker` is one instance at work, from its first request to its `expiry`; its `phase` says when it may take a
//! request out of the queue. An instance that computes for long takes turns with others (`processor_turn`), in an order
//! that depends on the clients it works for (`occupancy`). `readers` counts the answers of an instance that are still
//! being read.
//!
//! `state` holds what belongs to one instance: its `wasi`, its `variables`, its `guest_log`, its memory (`limits`,
//! `share`), and the requests for which it calls the host (`caller`). A function that the guest calls learns from
//! `requester` which of these it works for. Nothing here knows routes, or which generation serves.
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
pub(crate) use probe::Probe;
pub(crate) use requester::{Requester, connected, lead, opener, request_task, requester};
pub(crate) use share::{HeldBytes, MemoryShare, NoRoom, StreamShare};
pub(crate) use source::Source;
pub(crate) use state::State;
pub(crate) use version::{Origin, Version};
