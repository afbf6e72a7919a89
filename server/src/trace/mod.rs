//! What happened to one request, as a tree of spans: where its time went, from the client to the last SQL statement.
//!
//! A program that traces has a [`Tracing`], which begins a tree with its root and hands the finished ones on. A
//! [`Trace`] goes with the request and makes a [`Span`] wherever it waits for somebody; both are nothing, and cost a
//! branch, where no tree is recorded. `context` is how a request says to which trace it belongs, `sampler` chooses which
//! trees are sent, `tail` keeps slow and failed ones for `GET /traces`, and `export` sends trees to a collector by
//! `otlp`, as the standard environment variables in `settings` say.
//!
//! Nothing here knows what a span is about: names and attributes are the programs' own.

mod context;
mod export;
mod finished_trace;
mod otlp;
mod recording;
mod sampler;
mod settings;
mod span;
mod tail;
mod tracer;

use http::Method;

pub use self::context::{Caller, Ids, TRACEPARENT, TRACESTATE, traceparent};
pub use self::finished_trace::FinishedTrace;
pub use self::settings::{Accept, AnswerHeader, Settings};
pub use self::span::{Kind, Span, Trace, Value, WeakTrace};
pub use self::tracer::{SpanCounters, Tracing};

/// A request's method as traces name it: anyone can invent others.
#[must_use]
pub fn known_method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let mut known = known.into_iter();
    known.find(|known| method == known).unwrap_or("_OTHER")
}
