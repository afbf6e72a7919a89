//! The tree of one request while it grows. Ending a span adds it, on any thread. The tree is finished when the last
//! place in it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use parking_lot::Mutex;

use super::context::{Caller, Ids};
use super::finished_trace::FinishedTrace;
use super::span::Record;
use super::tracer::Tracer;
use crate::metrics::{Exemplar, Exemplars};

/// Most spans of one tree. Further spans are left out and counted, as a request that loops would fill the memory.
const MOST_SPANS: usize = 512;

/// Most links of one tree.
const MOST_LINKS: usize = 256;

#[derive(Debug)]
pub(super) struct Recording {
    tracer: Arc<Tracer>,
    trace: TraceId,
    root: SpanId,
    is_sampled: bool,
    state: Option<HeaderValue>,
    /// Whether another program called the root.
    has_caller: bool,
    began: Instant,
    grown: Mutex<SpanTree>,
    left_out: AtomicU32,
}

/// The part of a tree that has been recorded so far.
#[derive(Debug, Default)]
struct SpanTree {
    #[expect(
        clippy::vec_box,
        reason = "boxed while they were open, and moved as they are"
    )]
    spans: Vec<Box<Record>>,
    /// Links, each with the span that it belongs to.
    links: Vec<(SpanId, Ids)>,
    /// Measured durations, for the histograms that will name the trace as an exemplar if it is kept.
    measured: Vec<(Arc<Exemplars>, Exemplar)>,
}

impl Recording {
    /// A tree without spans, whose root begins at `began`.
    pub(super) fn new(
        tracer: Arc<Tracer>,
        trace: TraceId,
        caller: Option<Caller>,
        is_sampled: bool,
        began: Instant,
    ) -> Arc<Self> {
        Arc::new(Self {
            tracer,
            trace,
            root: Self::new_span_id(),
            is_sampled,
            has_caller: caller.is_some(),
            state: caller.and_then(|caller| caller.state),
            began,
            grown: Mutex::new(SpanTree {
                spans: Vec::with_capacity(8),
                links: Vec::new(),
                measured: Vec::new(),
            }),
            left_out: AtomicU32::new(0),
        })
    }

    pub(super) fn new_span_id() -> SpanId {
        RandomIdGenerator::default().new_span_id()
    }

    pub(super) fn root(&self) -> SpanId {
        self.root
    }

    pub(super) fn ids(&self, span: SpanId) -> Ids {
        Ids {
            trace: self.trace,
            span,
            is_sampled: self.is_sampled,
        }
    }

    pub(super) fn state(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
    }

    /// Adds a span that has ended.
    pub(super) fn add(&self, record: Box<Record>) {
        let mut grown = self.grown.lock();
        // The root is always added: it ends last, and the other spans need it.
        if grown.spans.len() < MOST_SPANS || record.id == self.root {
            grown.spans.push(record);
        } else {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds a link to one of the spans.
    pub(super) fn link(&self, span: SpanId, other: Ids) {
        let mut grown = self.grown.lock();
        if grown.links.len() < MOST_LINKS {
            grown.links.push((span, other));
        }
    }

    /// Notes a measured duration, so that its histogram names the trace as an exemplar, if the trace is kept in the
    /// end. Does nothing if that is unlikely: if the trace is not in the sample, and the span is neither slow nor
    /// failed.
    pub(super) fn measure(&self, exemplars: &Arc<Exemplars>, took: Duration, has_failed: bool) {
        if !self.tracer.may_keep(self.is_sampled, took, has_failed) {
            return;
        }
        let exemplar = Exemplar {
            trace: self.trace,
            value: took.as_secs_f64(),
            at: SystemTime::now(),
        };
        let mut grown = self.grown.lock();
        grown.measured.push((exemplars.clone(), exemplar));
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let SpanTree {
            mut spans,
            links,
            measured,
        } = std::mem::take(self.grown.get_mut());
        for (span, other) in links {
            if let Some(span) = spans.iter_mut().find(|known| known.id == span) {
                span.links.push(other);
            }
        }
        let root = spans.iter().position(|span| span.id == self.root);
        let Some(root) = root.map(|at| spans.swap_remove(at)) else {
            return;
        };
        let took = root.ended - root.began;
        let Some(why) = self
            .tracer
            .judge(self.is_sampled, took, root.error.is_some())
        else {
            return;
        };
        // People read spans in the order in which they began.
        spans.sort_by_key(|span| span.began);
        spans.insert(0, root);
        let is_kept = self.tracer.hand_on(FinishedTrace {
            trace: self.trace,
            is_sampled: self.is_sampled,
            has_caller: self.has_caller,
            state: self.state.take(),
            why,
            began: self.began,
            // Most trees are thrown away, and don't need it.
            began_at: SystemTime::now() - self.began.elapsed(),
            spans,
            left_out: self.left_out.load(Ordering::Relaxed),
        });
        if is_kept {
            for (exemplars, exemplar) in measured {
                exemplars.note(exemplar);
            }
        }
    }
}
