//! What is recorded of a span.

use std::borrow::Cow;
use std::time::Instant;

use opentelemetry::trace::SpanId;

use super::context::Ids;
use super::description::{Description, Value};
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
