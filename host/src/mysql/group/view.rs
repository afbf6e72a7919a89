//! What one look at one member shows.

use super::row::Row;
use crate::config::HostPort;

/// What one member was found to be.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) at: HostPort,
    pub(super) fitness: Condition,
    /// What it says of the writer, if it says anything. One that takes no writes may say something too.
    pub(super) row: Option<Row>,
}

/// Whether a member could be the writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Fit,
    /// It takes writes, and has something else to do: it sends a joining member its data.
    Busy,
    /// It has not answered yet, and may still.
    Unheard,
    Unfit(String),
}

impl Condition {
    /// Whether it takes writes.
    pub(super) fn is_fit(&self) -> bool {
        matches!(self, Self::Fit | Self::Busy)
    }
}

impl View {
    /// Whether it holds the data of this origin.
    pub(super) fn is_of(&self, origin: &str) -> bool {
        self.row.as_ref().is_some_and(|row| row.origin == origin)
    }

    /// Whether it has all that was written before this row. One that shows an earlier term has missed some of it.
    pub(super) fn knows(&self, latest: &Row) -> bool {
        let row = self.row.as_ref();
        row.is_some_and(|row| row.origin == latest.origin && row.term == latest.term)
    }

    /// Why it is not written to, where the data of `origin` are.
    pub(super) fn reason(&self, origin: &str) -> &str {
        match (&self.fitness, &self.row) {
            (Condition::Unfit(reason), _) => reason.as_str(),
            (Condition::Unheard, _) => "it has not answered yet",
            (_, Some(row)) if row.origin != origin => {
                "it holds another store's data, so it is no member"
            }
            (_, Some(_)) => "it lags behind what was seen before",
            (_, None) => "it says nothing of the writer",
        }
    }
}
