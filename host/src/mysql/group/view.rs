//! The result of one check of one member.

use super::row::Row;
use crate::config::HostPort;

/// The state of one member at a check.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) at: HostPort,
    pub(super) fitness: Condition,
    /// The row that names the writer, if the member has shown it. A member that takes no writes may show it too.
    pub(super) row: Option<Row>,
}

/// Whether a member could be the writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Fit,
    /// The member takes writes, but is sending its data to a member that joins.
    Busy,
    /// The member has not answered yet, and still may.
    Unheard,
    Unfit(String),
}

impl Condition {
    /// Whether the member takes writes.
    pub(super) fn is_fit(&self) -> bool {
        matches!(self, Self::Fit | Self::Busy)
    }
}

impl View {
    /// Whether the member holds the data of this origin.
    pub(super) fn is_of(&self, origin: &str) -> bool {
        self.row.as_ref().is_some_and(|row| row.origin == origin)
    }

    /// Whether the member has all that was written before the row `latest`. A member with an earlier term has missed
    /// some of it.
    pub(super) fn knows(&self, latest: &Row) -> bool {
        let row = self.row.as_ref();
        row.is_some_and(|row| row.origin == latest.origin && row.term == latest.term)
    }

    /// Why this member is not written to. `origin` is that of the group's data.
    pub(super) fn reason(&self, origin: &str) -> &str {
        match (&self.fitness, &self.row) {
            (Condition::Unfit(reason), _) => reason.as_str(),
            (Condition::Unheard, _) => "it has not answered yet",
            (_, Some(row)) if row.origin != origin => {
                "it holds another store's data, so it is no member"
            }
            (_, Some(_)) => "it lags behind what was seen before",
            (_, None) => "its table `mysql_writer` has no row",
        }
    }
}
