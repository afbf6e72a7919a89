//! Begins traces.

use std::time::Instant;

use http::HeaderMap;
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::{Tracer, Tracing};
use crate::trace::context::Caller;
use crate::trace::record::Kind;
use crate::trace::recording::Recording;
use crate::trace::settings::Accept;
use crate::trace::span::Span;

impl Tracing {
    /// The root span of a request that began at `began` with these headers. If the peer is trusted, the headers decide
    /// which trace it belongs to.
    pub fn request(
        &self,
        name: &'static str,
        began: Instant,
        headers: &HeaderMap,
        is_trusted: bool,
    ) -> Span {
        let Some(tracer) = self.0 else {
            return Span::default();
        };
        let caller = tracer.caller(headers, is_trusted);
        let trace = trace_id(caller.as_ref());
        tracer.begin(trace, name, Kind::Server, began, caller)
    }

    /// Like [`Tracing::request`], for a request that is over at once and neither slow nor failed. The span is empty if
    /// the request is not in the sample.
    pub fn quick_request(
        &self,
        name: &'static str,
        began: Instant,
        headers: &HeaderMap,
        is_trusted: bool,
    ) -> Span {
        let Some(tracer) = self.0 else {
            return Span::default();
        };
        let caller = tracer.caller(headers, is_trusted);
        let trace = trace_id(caller.as_ref());
        if tracer.exporter.is_none() || !tracer.sampler.takes(trace, caller.as_ref()) {
            return Span::default();
        }
        tracer.begin(trace, name, Kind::Server, began, caller)
    }

    /// The root span of work that no request asked for.
    pub fn task(&self, name: &'static str) -> Span {
        let Some(tracer) = self.0 else {
            return Span::default();
        };
        tracer.begin(trace_id(None), name, Kind::Internal, Instant::now(), None)
    }
}

impl Tracer {
    fn caller(&self, headers: &HeaderMap, is_trusted: bool) -> Option<Caller> {
        let is_believed = match self.accept {
            Accept::Trusted => is_trusted,
            Accept::Anyone => true,
            Accept::Nobody => false,
        };
        is_believed.then(|| Caller::of(headers))?
    }

    fn begin(
        &'static self,
        trace: TraceId,
        name: &'static str,
        kind: Kind,
        began: Instant,
        caller: Option<Caller>,
    ) -> Span {
        let parent = caller
            .as_ref()
            .map_or(SpanId::INVALID, |caller| caller.span);
        let is_sampled = self.sampler.takes(trace, caller.as_ref());
        let recording = Recording::new(self, trace, caller, is_sampled, began);
        Span::begin(recording.root(), recording, parent, name, kind, began)
    }
}

fn trace_id(caller: Option<&Caller>) -> TraceId {
    match caller {
        Some(caller) => caller.trace,
        None => RandomIdGenerator::default().new_trace_id(),
    }
}
