//! Spans as they are recorded: plain values that go with the request.

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::SpanId;

use super::context::{Ids, TRACEPARENT, TRACESTATE, traceparent};
use super::recording::Recording;
use crate::metrics::Timing;

/// On which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answers somebody.
    Server,
    /// Waits for somebody's answer.
    Client,
    /// Neither.
    Internal,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text that the program has anyway.
    Static(&'static str),
    /// Text that several spans share.
    Shared(Arc<str>),
    /// Text of its own.
    Text(Box<str>),
    /// A number.
    Number(i64),
    /// Yes or no.
    Bool(bool),
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Static(text) => Some(text),
            Self::Shared(text) => Some(text),
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Bool(_) => None,
        }
    }
}

/// What is known of a span.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: SpanId,
    pub(super) parent: SpanId,
    pub(super) name: &'static str,
    /// What the name is followed by: a route, a table.
    pub(super) target: Option<Value>,
    pub(super) kind: Kind,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// Attributes that many spans have.
    pub(super) shared: Option<Arc<[(&'static str, Value)]>>,
    pub(super) links: Vec<Ids>,
    /// Why it failed.
    pub(super) error: Option<Cow<'static, str>>,
}

/// A span that has begun. It ends when it is dropped, and is nothing where no tree is recorded.
#[derive(Debug, Default)]
#[must_use]
pub struct Span(Option<OpenSpan>);

#[derive(Debug)]
struct OpenSpan {
    recording: Arc<Recording>,
    record: Box<Record>,
}

/// The place in the tree where a request is: spans that begin here are below it. Nothing where no tree is recorded.
#[derive(Clone, Debug, Default)]
pub struct Trace(Option<TreePosition>);

/// A [`Trace`] that does not keep its tree from being finished.
#[derive(Clone, Debug, Default)]
pub struct WeakTrace(Option<(Weak<Recording>, SpanId)>);

#[derive(Clone, Debug)]
struct TreePosition {
    recording: Arc<Recording>,
    span: SpanId,
}

impl Trace {
    /// Where nothing is recorded.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Whether spans are recorded.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A span that begins here and now. `name` and whatever else there is of it have few values.
    pub fn span(&self, name: &'static str, kind: Kind) -> Span {
        match &self.0 {
            None => Span(None),
            Some(place) => Span::begin(&place.recording, place.span, name, kind, Instant::now()),
        }
    }

    /// Which span this is.
    #[must_use]
    pub fn ids(&self) -> Option<Ids> {
        let place = self.0.as_ref()?;
        Some(place.recording.ids(place.span))
    }

    /// Notes that this span and another, of this or of another trace, have to do with each other.
    pub fn link(&self, other: &Self) {
        if let (Some(place), Some(other)) = (&self.0, other.ids()) {
            place.recording.link(place.span, other);
        }
    }

    /// The same place, without keeping the tree from being finished.
    #[must_use]
    pub fn downgrade(&self) -> WeakTrace {
        let place = self.0.as_ref();
        WeakTrace(place.map(|place| (Arc::downgrade(&place.recording), place.span)))
    }

    /// Says in the headers of a request that it is made here. Where nothing is recorded they stay as they are.
    pub fn put(&self, headers: &mut HeaderMap) {
        let Some(place) = &self.0 else { return };
        headers.insert(TRACEPARENT, traceparent(place.recording.ids(place.span)));
        match place.recording.state() {
            Some(state) => _ = headers.insert(TRACESTATE, state.clone()),
            None => _ = headers.remove(TRACESTATE),
        }
    }

    /// The `tracestate` of requests that are made here.
    #[must_use]
    pub fn state(&self) -> Option<&HeaderValue> {
        self.0.as_ref()?.recording.state()
    }
}

impl WeakTrace {
    /// The place, if its tree is not finished; nothing is recorded otherwise.
    #[must_use]
    pub fn upgrade(&self) -> Trace {
        let place = self.0.as_ref().and_then(|(recording, span)| {
            Some(TreePosition {
                recording: recording.upgrade()?,
                span: *span,
            })
        });
        Trace(place)
    }
}

impl Span {
    pub(super) fn begin(
        recording: &Arc<Recording>,
        parent: SpanId,
        name: &'static str,
        kind: Kind,
        began: Instant,
    ) -> Self {
        Self::with_id(
            recording,
            Recording::new_span_id(),
            parent,
            name,
            kind,
            began,
        )
    }

    /// With an id that others know already.
    pub(super) fn with_id(
        recording: &Arc<Recording>,
        id: SpanId,
        parent: SpanId,
        name: &'static str,
        kind: Kind,
        began: Instant,
    ) -> Self {
        let record = Record {
            id,
            parent,
            name,
            target: None,
            kind,
            began,
            ended: began,
            attributes: Vec::new(),
            shared: None,
            links: Vec::new(),
            error: None,
        };
        Self(Some(OpenSpan {
            recording: recording.clone(),
            record: Box::new(record),
        }))
    }

    /// Whether it is recorded: what is costly to find out need not be otherwise.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The place within this span.
    #[must_use]
    pub fn inside(&self) -> Trace {
        let place = self.0.as_ref().map(|open| TreePosition {
            recording: open.recording.clone(),
            span: open.record.id,
        });
        Trace(place)
    }

    /// Which span this is.
    #[must_use]
    pub fn ids(&self) -> Option<Ids> {
        let open = self.0.as_ref()?;
        Some(open.recording.ids(open.record.id))
    }

    /// Names what the span is about, behind its name.
    pub fn about(&mut self, target: impl Into<Value>) {
        if let Some(record) = self.record() {
            record.target = Some(target.into());
        }
    }

    /// Gives it an attribute, which it has not yet.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(record) = self.record() {
            if record.attributes.is_empty() {
                record.attributes.reserve(4);
            }
            record.attributes.push((name, value.into()));
        }
    }

    /// Gives it attributes that others have too.
    pub fn share(&mut self, attributes: &Arc<[(&'static str, Value)]>) {
        if let Some(record) = self.record() {
            record.shared = Some(attributes.clone());
        }
    }

    /// Says why it failed.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(record) = self.record() {
            record.error = Some(why.into());
        }
    }

    /// Says with what status it is answered, and that an answer from 500 on is a failure.
    pub fn answer(&mut self, status: u16) {
        if !self.is_on() {
            return;
        }
        self.set("http.response.status_code", i64::from(status));
        if status >= 500 {
            self.fail(status.to_string());
        }
    }

    /// Counts in a histogram how long this took. The bucket names the trace, if the trace is kept. Whether the span
    /// failed must be said before, as that may decide it.
    pub fn measure(&self, timing: &Timing, took: Duration) {
        timing.observe(took);
        if let Some(OpenSpan { recording, record }) = &self.0 {
            recording.measure(timing.exemplars(), took, record.error.is_some());
        }
    }

    fn record(&mut self) -> Option<&mut Record> {
        Some(&mut *self.0.as_mut()?.record)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(OpenSpan {
            recording,
            mut record,
        }) = self.0.take()
        {
            record.ended = Instant::now();
            recording.add(record);
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Static(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Self {
        Self::Bool(is_so)
    }
}
