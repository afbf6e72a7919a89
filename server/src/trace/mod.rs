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
mod description;
mod export;
mod finished_trace;
mod otlp;
mod record;
mod recording;
mod sampler;
mod settings;
mod shared_description;
mod span;
mod spare;
mod tail;
mod tracer;

use http::{Method, Version};

pub use self::context::{Caller, Ids, TRACEPARENT, TRACESTATE, traceparent, traceparent_text};
pub use self::description::{Description, Value};
pub use self::export::SpanCounters;
pub use self::finished_trace::FinishedTrace;
pub use self::record::Kind;
pub use self::settings::{Accept, AnswerHeader, Settings};
pub use self::shared_description::SharedDescription;
pub use self::span::{Span, Trace, WeakTrace};
pub use self::tracer::Tracing;

/// Stands for all methods that are not known.
const OTHER_METHOD: &str = "_OTHER";

/// A request's method as traces name it. Unknown methods become `_OTHER`, as anyone can invent new ones.
#[must_use]
pub fn known_method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let mut known = known.into_iter();
    known.find(|known| method == known).unwrap_or(OTHER_METHOD)
}

/// A method, in the form of [`known_method`], as the names of spans begin with it.
#[must_use]
pub fn method_in_name(known: &'static str) -> &'static str {
    match known {
        OTHER_METHOD => "HTTP",
        known => known,
    }
}

/// A version of HTTP as traces and logs name it.
#[must_use]
pub fn http_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}
