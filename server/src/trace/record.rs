//! What is recorded of a span.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use opentelemetry::trace::SpanId;

/// The role of a span's program in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The span answers a request.
    Server,
    /// The span waits for an answer.
    Client,
    /// The span is neither of these.
    Internal,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text that is part of the program.
    Static(&'static str),
    /// Text that several spans share.
    Shared(Arc<str>),
    /// Text of this attribute only.
    Text(Box<str>),
    /// A number.
    Number(i64),
    /// True or false.
    Bool(bool),
}

impl Value {
    /// The text, if the value is text.
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

/// What a text says about a span: see [`Span::describe`](super::Span::describe).
#[derive(Debug)]
pub struct Description {
    /// The target that follows the span's name, if the text has one.
    pub target: Option<Value>,
    /// Attributes that the span does not have already.
    pub attributes: Vec<(&'static str, Value)>,
}

/// The recorded data of a span. Nearly all traces are thrown away, so most of what a usual span has is here, and
/// `details` are only touched where there are some: what one request writes here has left the caches when it is read.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: SpanId,
    pub(super) parent: SpanId,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// The wait that this span has ended.
    pub(super) before: Option<Before>,
    /// The request, if the span is one.
    pub(super) asked: Option<Asked>,
    /// The status of the answer, if the span got one.
    pub(super) status: Option<u16>,
    /// The attribute whose value is the name, if there is one.
    pub(super) named: Option<&'static str>,
    /// Attributes that many spans share.
    pub(super) shared: Option<Arc<[(&'static str, Value)]>>,
    /// Whether the first of them is the target.
    pub(super) is_about_shared: bool,
    /// Whether `details` hold anything.
    has_details: bool,
    details: Details,
}

/// What few spans have.
#[derive(Debug, Default)]
pub(super) struct Details {
    /// Follows the name in the full name: a route, a table.
    pub(super) target: Option<Value>,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// Why the span failed, if it did.
    pub(super) error: Option<Cow<'static, str>>,
    /// The text that `describe` is to describe the span by.
    pub(super) text: String,
    pub(super) describe: Option<fn(&str) -> Description>,
}

/// How a request was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// The method, in the form of [`known_method`](super::known_method).
    pub(super) method: &'static str,
    pub(super) scheme: &'static str,
    /// The version of HTTP.
    pub(super) version: &'static str,
}

/// A wait that ended when another span began, with the same parent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) name: &'static str,
    pub(super) began: Instant,
}

impl Record {
    /// A record of nothing yet.
    pub(super) fn empty() -> Self {
        let now = Instant::now();
        Self {
            id: SpanId::INVALID,
            parent: SpanId::INVALID,
            name: "",
            kind: Kind::Internal,
            began: now,
            ended: now,
            before: None,
            asked: None,
            status: None,
            named: None,
            shared: None,
            is_about_shared: false,
            has_details: false,
            details: Details::default(),
        }
    }

    /// Forgets everything but id, parent, name, kind and times, which the next span sets. The room for attributes and
    /// text stays.
    pub(super) fn clear(&mut self) {
        self.before = None;
        self.asked = None;
        self.status = None;
        self.named = None;
        self.shared = None;
        self.is_about_shared = false;
        if std::mem::take(&mut self.has_details) {
            let details = &mut self.details;
            details.target = None;
            details.attributes.clear();
            details.error = None;
            details.text.clear();
            details.describe = None;
        }
    }

    /// The details; `None` if there are none.
    pub(super) fn details(&self) -> Option<&Details> {
        self.has_details.then_some(&self.details)
    }

    pub(super) fn details_mut(&mut self) -> &mut Details {
        self.has_details = true;
        &mut self.details
    }

    /// Why the span failed, if it did.
    pub(super) fn error(&self) -> Option<&str> {
        self.details()?.error.as_deref()
    }

    /// Makes attributes of the facts for which the record has fields. Describes the span by its text, if that is still
    /// to be done, and frees the text with its room, which may be that of an earlier span.
    pub(super) fn complete(&mut self) {
        let (asked, status, named) = (self.asked.take(), self.status.take(), self.named.take());
        let name = self.name;
        let details = self.details_mut();
        if let Some(asked) = asked {
            details.attributes.extend([
                ("http.request.method", asked.method.into()),
                ("url.scheme", asked.scheme.into()),
                ("network.protocol.version", asked.version.into()),
            ]);
        }
        let status = status.map(|status| ("http.response.status_code", i64::from(status).into()));
        let named = named.map(|attribute| (attribute, name.into()));
        details.attributes.extend(status.into_iter().chain(named));
        let text = std::mem::take(&mut details.text);
        if let Some(describe) = details.describe.take() {
            details.add(describe(&text));
        }
    }
}

impl Details {
    pub(super) fn add(&mut self, description: Description) {
        self.target = description.target;
        self.attributes.extend(description.attributes);
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
