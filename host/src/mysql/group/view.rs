//! The result of one check of one member.

use super::records::WriterRecord;
use super::row::Row;
use crate::config::HostPort;

/// Said of a member that holds other data than the group's.
pub(super) const STRANGER: &str =
    "it holds another store's data: name only members that replicate one another";

/// The state of one member at a check.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) at: HostPort,
    pub(super) fitness: Condition,
    /// The row that names the writer, if the member has shown it. A member that takes no writes may show it too.
    pub(super) row: Option<Row>,
    /// Whether the member belongs to a Galera cluster or a Group Replication and is in step with it.
    pub(super) is_in_step: bool,
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

    /// Whether the member holds other data than the group's. Nobody knows that of a member that has shown no row.
    pub(super) fn is_stranger(&self, known: &WriterRecord) -> bool {
        let row = self.row.as_ref();
        row.is_some_and(|row| row.origin != known.origin)
    }

    /// Whether the member has all that was written before the row `latest`. A member with an earlier term has missed
    /// some of it.
    pub(super) fn knows(&self, latest: &Row) -> bool {
        let row = self.row.as_ref();
        row.is_some_and(|row| row.origin == latest.origin && row.term == latest.term)
    }

    /// Whether the member may answer reads while there is no writer. It must have all that was written before the last
    /// change of the writer, and be among those that get each later write before the writer confirms it: all members of
    /// a Galera cluster, or most of a Group Replication.
    pub(super) fn can_stand_by(&self, known: &WriterRecord) -> bool {
        let is_latest = |row: &Row| row.origin == known.origin && row.term == known.term;
        self.is_in_step && self.row.as_ref().is_some_and(is_latest)
    }

    /// Why this member is not written to. `origin` is that of the group's data.
    pub(super) fn reason(&self, origin: &str) -> &str {
        match (&self.fitness, &self.row) {
            (Condition::Unfit(reason), _) => reason.as_str(),
            (Condition::Unheard, _) => "it has not answered yet",
            (_, Some(row)) if row.origin != origin => STRANGER,
            (_, Some(_)) => "it lags behind what was seen before",
            (_, None) => "its table `mysql_writer` has no row",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_known_by_its_row() {
        let known = WriterRecord {
            origin: "ours".into(),
            term: 6,
        };
        let view = |origin: Option<&str>| View {
            at: HostPort::new("db", 3306),
            fitness: Condition::Fit,
            row: origin.map(|origin| Row {
                term: 6,
                member: "db:3306".into(),
                origin: origin.into(),
            }),
            is_in_step: false,
        };
        assert!(view(Some("theirs")).is_stranger(&known));
        assert!(!view(Some("ours")).is_stranger(&known));
        assert!(!view(None).is_stranger(&known));
    }

    #[test]
    fn only_who_is_in_step_and_has_heard_of_the_last_change_stands_by() {
        let known = WriterRecord {
            origin: "ours".into(),
            term: 6,
        };
        let view = |is_in_step, term, origin: &str| View {
            at: HostPort::new("db", 3306),
            fitness: Condition::Unfit("it is read-only".into()),
            row: Some(Row {
                term,
                member: "db:3306".into(),
                origin: origin.into(),
            }),
            is_in_step,
        };
        assert!(view(true, 6, "ours").can_stand_by(&known));
        assert!(!view(false, 6, "ours").can_stand_by(&known));
        assert!(!view(true, 5, "ours").can_stand_by(&known));
        assert!(!view(true, 6, "theirs").can_stand_by(&known));
        let without_row = View {
            row: None,
            ..view(true, 6, "ours")
        };
        assert!(!without_row.can_stand_by(&known));
    }
}
