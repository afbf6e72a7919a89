//! What is wrong with a setting.

use std::fmt::Display;
use std::ops::RangeInclusive;

use store_server::document::{self, Document, name};

/// An error in a file, with the path of its key.
pub(super) struct Complaint {
    pub(super) path: document::Path,
    pub(super) reason: String,
}

impl Complaint {
    pub(super) fn new(path: &[&str], reason: impl Into<String>) -> Self {
        Self {
            path: path.iter().map(|&step| step.to_owned()).collect(),
            reason: reason.into(),
        }
    }

    /// The line of the key, and what is wrong with it.
    pub(super) fn at_its_line(self, document: &Document<'_>) -> (usize, String) {
        let line = document.line_of(&self.path);
        match self.path.as_slice() {
            [] => (line, self.reason),
            path => (line, format!("`{}`: {}", name(path), self.reason)),
        }
    }
}

/// The result of a check.
pub(super) type CheckResult = Result<(), Complaint>;

/// Refuses a value that is outside its range.
pub(super) fn within<T: PartialOrd + Display>(
    path: &[&str],
    value: T,
    range: RangeInclusive<T>,
) -> CheckResult {
    // NaN is in no range.
    if range.contains(&value) {
        return Ok(());
    }
    let reason = format!(
        "must be from {} to {}, not {value}",
        range.start(),
        range.end()
    );
    Err(Complaint::new(path, reason))
}
