//! The trace of a request: a tree of spans that shows where the request spent its time, from the client to the last SQL
//! statement.
//!
//! A program that traces has a [`Tracing`], which begins a tree with its root and passes finished trees on. A [`Trace`]
//! goes with the request, and makes a [`Span`] wherever the request waits for something. If no tree is recorded, both
//! are empty and cost a branch. `context` reads from a request's headers which trace it belongs to, `sampler` chooses
//! the trees that are sent, `tail` keeps slow and failed ones for `GET /traces`, and `export` sends trees to a
//! collector by `otlp`, as the standard environment variables in `settings` say.
//!
//! Nothing here knows what a span is about: the programs choose names and attributes.

mod context;
mod export;
mod finished_trace;
mod otlp;
mod record;
mod recording;
mod sampler;
mod settings;
mod span;
mod spare;
mod tail;
mod tracer;

use http::Method;

pub use self::context::{Caller, Ids, TRACEPARENT, TRACESTATE, traceparent};
pub use self::export::SpanCounters;
pub use self::finished_trace::FinishedTrace;
pub use self::record::{Description, Kind, Value};
pub use self::settings::{Accept, AnswerHeader, Settings};
pub use self::span::{Span, Trace, WeakTrace};
pub use self::tracer::Tracing;

/// A request's method as traces name it. Unknown methods become `_OTHER`, as anyone can invent new ones.
#[must_use]
pub fn known_method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let mut known = known.into_iter();
    known.find(|known| method == known).unwrap_or("_OTHER")
}
