//! Spans while they are recorded: plain values that go with the request.

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method};
use opentelemetry::trace::SpanId;

use super::context::{Ids, TRACEPARENT, TRACESTATE, traceparent};
use super::description::{Description, Value};
use super::record::{Before, Kind, Record};
use super::recording::Recording;
use super::shared_description::SharedDescription;
use super::{OTHER_METHOD, spare};
use crate::metrics::Timing;

/// The longest text, in bytes, that a span keeps to be described by later. It bounds the memory of records, and has
/// nothing to do with how much of a text is shown.
const LONGEST_TEXT: usize = 2048;

/// A span that has begun. It ends when it is dropped. It is empty if no tree is recorded.
#[derive(Debug, Default)]
#[must_use]
pub struct Span {
    /// The place within the span.
    inside: Trace,
    /// Boxed, so that it is cheap to move a span, and to have none. `None` if nothing is recorded, or if the span has
    /// ended.
    record: Option<Box<Record>>,
}

/// A request's place in its tree: spans that begin here are children of it. It is empty if no tree is recorded.
#[derive(Clone, Debug, Default)]
pub struct Trace(Option<TreePosition>);

/// A [`Trace`] that does not delay the end of its tree.
#[derive(Clone, Debug, Default)]
pub struct WeakTrace(Option<(Weak<Recording>, Ids)>);

#[derive(Clone, Debug)]
struct TreePosition {
    recording: Arc<Recording>,
    span: SpanId,
}

impl Trace {
    /// An empty place: nothing is recorded.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Whether spans are recorded.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span here and now. `name`, like all names and attributes, should have few different values.
    pub fn span(&self, name: &'static str, kind: Kind) -> Span {
        match self.is_on() {
            true => self.span_at(name, kind, Instant::now()),
            false => Span::default(),
        }
    }

    /// As [`Trace::span`], as of `began`, for callers that have asked for the time already.
    pub fn span_at(&self, name: &'static str, kind: Kind, began: Instant) -> Span {
        let Some(place) = &self.0 else {
            return Span::default();
        };
        let recording = place.recording.clone();
        let id = Recording::new_span_id();
        Span::begin(id, recording, place.span, name, kind, began)
    }

    /// The ids of this place's span; `None` if nothing is recorded.
    #[must_use]
    pub fn ids(&self) -> Option<Ids> {
        let place = self.0.as_ref()?;
        Some(place.recording.ids(place.span))
    }

    /// Notes a relation between this span and another one, of the same or another trace.
    pub fn link(&self, other: &Self) {
        if let (Some(place), Some(other)) = (&self.0, other.ids()) {
            place.recording.link(place.span, other);
        }
    }

    /// Notes that a part of the request has failed, though the whole may succeed. The trace is kept as that of a failed
    /// request.
    pub fn note_failure(&self) {
        if let Some(place) = &self.0 {
            place.recording.note_failure();
        }
    }

    /// The same place, without delaying the end of the tree.
    #[must_use]
    pub fn downgrade(&self) -> WeakTrace {
        let weak = |place: &TreePosition| {
            let ids = place.recording.ids(place.span);
            (Arc::downgrade(&place.recording), ids)
        };
        WeakTrace(self.0.as_ref().map(weak))
    }

    /// The `tracestate` for requests that are made here.
    #[must_use]
    pub fn state(&self) -> Option<&HeaderValue> {
        self.0.as_ref()?.recording.state()
    }
}

impl WeakTrace {
    /// The place, if its tree is not finished; otherwise an empty one.
    #[must_use]
    pub fn upgrade(&self) -> Trace {
        let place = self.0.as_ref().and_then(|(recording, ids)| {
            Some(TreePosition {
                recording: recording.upgrade()?,
                span: ids.span,
            })
        });
        Trace(place)
    }

    /// The ids of this place's span, whether its tree is finished or not; `None` if nothing was recorded.
    #[must_use]
    pub fn ids(&self) -> Option<Ids> {
        self.0.as_ref().map(|(_, ids)| *ids)
    }

    /// Writes into the headers of a request that it is made in this span. If nothing was recorded, the headers stay
    /// unchanged. Once the tree is finished, its `tracestate` is no longer known, and is left out.
    pub fn put(&self, headers: &mut HeaderMap) {
        let Some(ids) = self.ids() else { return };
        headers.insert(TRACEPARENT, traceparent(ids));
        match self.upgrade().state() {
            Some(state) => _ = headers.insert(TRACESTATE, state.clone()),
            None => _ = headers.remove(TRACESTATE),
        }
    }
}

impl Span {
    /// Begins a span of a tree. The span with the `id` of the tree's root is the root.
    pub(super) fn begin(
        id: SpanId,
        recording: Arc<Recording>,
        parent: SpanId,
        name: &'static str,
        kind: Kind,
        began: Instant,
    ) -> Self {
        let mut record = spare::take();
        record.id = id;
        record.parent = parent;
        record.name = name;
        record.kind = kind;
        record.began = began;
        Self {
            inside: Trace(Some(TreePosition {
                recording,
                span: id,
            })),
            record: Some(record),
        }
    }

    /// Whether the span is recorded. If it is not, callers can save the work of finding costly attributes.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.record.is_some()
    }

    /// The place within this span.
    #[must_use]
    pub fn inside(&self) -> &Trace {
        &self.inside
    }

    /// The ids of this span; `None` if it is not recorded.
    #[must_use]
    pub fn ids(&self) -> Option<Ids> {
        self.inside.ids()
    }

    /// Sets the target that follows the span's name.
    pub fn about(&mut self, target: impl Into<Value>) {
        if let Some(record) = &mut self.record {
            record.target = Some(target.into());
        }
    }

    /// Adds an attribute. The span must not have it already.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(record) = &mut self.record {
            record.attributes.push((name, value.into()));
        }
    }

    /// Sets the attributes that the span shares with others, and its target, unless it has one of its own.
    pub fn share(&mut self, description: &SharedDescription) {
        if let Some(record) = &mut self.record {
            record.shared = description.clone();
        }
    }

    /// Sets target and attributes to what `describe` finds in `text`. That is done only if the trace is kept, as few
    /// are; but at once if the text is long.
    pub fn describe(&mut self, text: &str, describe: fn(&str) -> Description) {
        let Some(record) = &mut self.record else {
            return;
        };
        if text.len() > LONGEST_TEXT {
            record.add(describe(text));
        } else {
            record.text.clear();
            record.text.push_str(text);
            record.describe = Some(describe);
        }
    }

    /// Notes why the span failed.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(record) = &mut self.record {
            record.error = Some(why.into());
        }
    }

    /// Notes how the request was made: its method, as [`known_method`](super::known_method) says and as it came, the
    /// scheme and the version of HTTP. Only an unknown method is copied, so that others cost no allocation.
    pub fn ask(
        &mut self,
        known: &'static str,
        method: &Method,
        scheme: &'static str,
        version: &'static str,
    ) {
        self.set("http.request.method", known);
        if known == OTHER_METHOD && self.is_on() {
            let original = method.as_str().to_owned();
            self.set("http.request.method_original", original);
        }
        self.set("url.scheme", scheme);
        self.set("network.protocol.version", version);
    }

    /// Notes the status of the answer. A status of 500 or above counts as a failure.
    pub fn answer(&mut self, status: u16) {
        if !self.is_on() {
            return;
        }
        self.set("http.response.status_code", i64::from(status));
        if status >= 500 {
            self.fail(status.to_string());
        }
    }

    /// Whether the trace may be kept, as far as this span shows, which has taken so long. Call [`Span::fail`] before, if
    /// it failed. A root that ends with the answer no needs no more attributes, unless its program calls
    /// [`Trace::note_failure`].
    #[must_use]
    pub fn may_be_kept(&self, took: Duration) -> bool {
        let (Some(place), Some(record)) = (&self.inside.0, &self.record) else {
            return false;
        };
        place.recording.may_be_kept(took, record.error.is_some())
    }

    /// Adds a duration to a histogram. If the trace is kept, the histogram's bucket names it. Call [`Span::fail`]
    /// before, if the span failed, as that may decide whether the trace is kept.
    pub fn measure(&self, timing: &Timing, took: Duration) {
        timing.observe(took);
        if let (Some(place), true) = (&self.inside.0, self.may_be_kept(took)) {
            place.recording.measure(timing.exemplars(), took);
        }
    }

    /// Ends the span as of `at`, for callers that have asked for the time already.
    pub fn end_at(mut self, at: Instant) {
        self.end(at);
    }

    /// Ends the span as of `at`, and begins the next one at the same time and with the same parent. Until the trace is
    /// kept, as few are, both are one record, and the next span has the id. So this span must be no root, must not follow
    /// another one itself, and must have nothing but its name, and no span or link inside it.
    pub fn followed_by(mut self, name: &'static str, kind: Kind, at: Instant) -> Self {
        if let Some(record) = &mut self.record {
            record.before = Some(Before {
                name: std::mem::replace(&mut record.name, name),
                kind: std::mem::replace(&mut record.kind, kind),
                began: std::mem::replace(&mut record.began, at),
            });
        }
        self
    }

    /// Adds the record to the tree, if that has not been done.
    fn end(&mut self, at: Instant) {
        if let (Some(place), Some(mut record)) = (&self.inside.0, self.record.take()) {
            record.ended = at;
            place.recording.add(record);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.is_on() {
            self.end(Instant::now());
        }
    }
}
