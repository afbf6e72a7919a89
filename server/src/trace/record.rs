//! What is recorded of a span.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use opentelemetry::trace::SpanId;

use super::context::Ids;
use super::shared_description::SharedDescription;

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

/// What a span is about, as a text or a [`SharedDescription`] says it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Description {
    /// The target that follows the span's name, if there is one.
    pub target: Option<Value>,
    /// Attributes that the span does not have already.
    pub attributes: Vec<(&'static str, Value)>,
}

/// The recorded data of a span.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: SpanId,
    pub(super) parent: SpanId,
    pub(super) name: &'static str,
    /// Follows the name in the full name: a route, a table.
    pub(super) target: Option<Value>,
    pub(super) kind: Kind,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// The span right before this one, with the same parent.
    pub(super) before: Option<Before>,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// The description that many spans share.
    pub(super) shared: SharedDescription,
    pub(super) links: Vec<Ids>,
    /// Why the span failed, if it did.
    pub(super) error: Option<Cow<'static, str>>,
    /// The text that `describe` is to describe the span by.
    pub(super) text: String,
    pub(super) describe: Option<fn(&str) -> Description>,
}

/// A span of which nothing else is known, and which ended when another one began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) began: Instant,
}

impl Description {
    /// The length of its texts, in bytes.
    pub(super) fn text_bytes(&self) -> usize {
        let values = self.attributes.iter().map(|(_, value)| value);
        let texts = values.chain(&self.target).filter_map(Value::as_str);
        texts.map(str::len).sum()
    }
}

impl Record {
    /// Describes the span by its text, if that is still to be done, and frees the text with its room, which may be that
    /// of an earlier span.
    pub(super) fn complete(&mut self) {
        let text = std::mem::take(&mut self.text);
        if let Some(describe) = self.describe.take() {
            self.add(describe(&text));
        }
    }

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

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
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
