//! The tree of one request while it grows. Ending a span adds it, on any thread. The tree is finished when the last
//! place in it is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::context::{Caller, Ids};
use super::finished_trace::FinishedTrace;
use super::record::{Before, Record};
use super::spare;
use super::tracer::{Judgement, Tracer};
use crate::metrics::{Exemplar, Exemplars};

/// Most records of one tree besides the root. Further ones are left out and their spans counted, as a request that loops
/// would fill the memory.
const MOST_SPANS: usize = 512;

/// Most links of one tree.
const MOST_LINKS: usize = 256;

/// Records besides the root for which a tree has room without a further allocation: a read has no more, an order may.
const USUAL_SPANS: usize = 4;

#[derive(Debug)]
pub(super) struct Recording {
    tracer: &'static Tracer,
    trace: TraceId,
    root: SpanId,
    is_sampled: bool,
    state: Option<HeaderValue>,
    /// Whether another program called the root.
    has_caller: bool,
    began: Instant,
    grown: Mutex<SpanTree>,
}

/// The part of a tree that has been recorded so far.
#[derive(Debug, Default)]
struct SpanTree {
    root: Option<Box<Record>>,
    /// All spans that have ended, except the root.
    spans: SmallVec<[Box<Record>; USUAL_SPANS]>,
    /// Links, each with the span that it belongs to.
    links: Vec<(SpanId, Ids)>,
    /// Measured durations, for the histograms that will name the trace as an exemplar if it is kept.
    measured: Vec<(Arc<Exemplars>, Exemplar)>,
    /// Number of spans for which there was no room.
    left_out: u32,
    /// Whether a part of the request has failed, so that the whole counts as failed.
    has_failed: bool,
}

impl Recording {
    /// A tree without spans, whose root begins at `began`.
    pub(super) fn new(
        tracer: &'static Tracer,
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
            grown: Mutex::default(),
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
        if record.id == self.root {
            grown.root = Some(record);
        } else if grown.spans.len() < MOST_SPANS {
            grown.spans.push(record);
        } else {
            grown.left_out += 1 + u32::from(record.before.is_some());
        }
    }

    /// Notes that a part of the request has failed.
    pub(super) fn note_failure(&self) {
        self.grown.lock().has_failed = true;
    }

    /// Adds a link to one of the spans.
    pub(super) fn link(&self, span: SpanId, other: Ids) {
        let mut grown = self.grown.lock();
        if grown.links.len() < MOST_LINKS {
            grown.links.push((span, other));
        }
    }

    /// Whether the tree may be kept, as far as that is known from one of its spans.
    pub(super) fn may_be_kept(&self, took: Duration, has_failed: bool) -> bool {
        self.tracer.may_keep(self.is_sampled, took, has_failed)
    }

    /// Notes a measured duration, so that its histogram names the trace as an exemplar, if the trace is kept in the
    /// end. Only for trees that may be kept.
    pub(super) fn measure(&self, exemplars: &Arc<Exemplars>, took: Duration) {
        let exemplar = Exemplar {
            trace: self.trace,
            value: took.as_secs_f64(),
            at: SystemTime::now(),
        };
        let mut grown = self.grown.lock();
        grown.measured.push((exemplars.clone(), exemplar));
    }

    /// Passes the finished tree on.
    #[cold]
    fn keep(&mut self, judgement: Judgement) {
        let SpanTree {
            root,
            mut spans,
            links,
            measured,
            left_out,
            ..
        } = std::mem::take(self.grown.get_mut());
        let before: Vec<_> = spans
            .iter_mut()
            .filter_map(|span| take_before(span))
            .collect();
        let mut others: Vec<_> = before.into_iter().chain(spans).collect();
        // People read spans in the order in which they began.
        others.sort_by_key(|span| span.began);
        let mut spans: Vec<_> = root.into_iter().chain(others).collect();
        spans.iter_mut().for_each(|span| span.complete());
        for (span, other) in links {
            if let Some(span) = spans.iter_mut().find(|known| known.id == span) {
                span.links.push(other);
            }
        }
        let tree = FinishedTrace {
            trace: self.trace,
            is_sampled: self.is_sampled,
            has_caller: self.has_caller,
            state: self.state.take(),
            why: judgement.why,
            began: self.began,
            began_at: SystemTime::now() - self.began.elapsed(),
            spans,
            left_out,
        };
        if self.tracer.hand_on(tree, judgement.is_sent) {
            for (exemplars, exemplar) in measured {
                exemplars.note(exemplar);
            }
        }
    }
}

/// The span right before another one, as a record of its own.
fn take_before(span: &mut Record) -> Option<Box<Record>> {
    let Before { name, kind, began } = span.before.take()?;
    let mut record = spare::take();
    record.id = Recording::new_span_id();
    record.parent = span.parent;
    record.name = name;
    record.kind = kind;
    record.began = began;
    record.ended = span.began;
    Some(record)
}

impl Drop for Recording {
    fn drop(&mut self) {
        let grown = self.grown.get_mut();
        let judgement = grown.root.as_ref().and_then(|root| {
            let has_failed = grown.has_failed || root.error.is_some();
            let took = root.ended - root.began;
            self.tracer.judge(self.is_sampled, took, has_failed)
        });
        match judgement {
            Some(judgement) => self.keep(judgement),
            None => spare::give_back(grown.root.take().into_iter().chain(grown.spans.drain(..))),
        }
    }
}
