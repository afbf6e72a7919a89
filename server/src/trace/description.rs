//! What is said of a span: its target and its attributes.

use std::sync::Arc;

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

/// What a span is about, as a text or a [`SharedDescription`](super::SharedDescription) says it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Description {
    /// The target that follows the span's name, if there is one.
    pub target: Option<Value>,
    /// Attributes that the span does not have already.
    pub attributes: Vec<(&'static str, Value)>,
}

impl Description {
    /// The length of its texts, in bytes.
    pub(super) fn text_bytes(&self) -> usize {
        let values = self.attributes.iter().map(|(_, value)| value);
        let texts = values.chain(&self.target).filter_map(Value::as_str);
        texts.map(str::len).sum()
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
