//! The components' view of `wit/mysql-errors.csv`, the table of known MySQL errors. The host reads the same table.

/// The table. `docs/MYSQL_ERRORS.md` explains its columns.
const TABLE: &str = include_str!("../../../../wit/mysql-errors.csv");

/// The columns of one row that components need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ErrorRow {
    /// The transaction may be retried as a whole.
    pub(super) is_worth_a_retry: bool,
    /// If the answer to a commit is this error, nothing was committed.
    pub(super) undoes_a_commit: bool,
    /// Nothing was done and the session is unusable: the server refuses every further statement in it.
    pub(super) refuses_the_session: bool,
    pub(super) status: Status,
}

/// The status that the client gets if the component did not treat the error specially.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// 409.
    Conflict,
    /// 422.
    Unacceptable,
    /// 503.
    Unavailable,
}

impl ErrorRow {
    /// The row of an error, or `None` if the table does not have it.
    pub(super) fn of(code: u16) -> Option<Self> {
        let code = code.to_string();
        TABLE
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(','))
            .find(|(known, _)| *known == code)
            .and_then(|(_, rest)| Self::parse(rest))
    }

    /// Parses the part of a line after the code.
    fn parse(rest: &str) -> Option<Self> {
        let columns: Vec<&str> = rest.split(',').collect();
        let [_symbol, _meaning, again, session, commit, status] = columns[..] else {
            return None;
        };
        Some(Self {
            is_worth_a_retry: again == "yes",
            undoes_a_commit: commit == "undone",
            refuses_the_session: session == "closed" && commit == "undone",
            status: match status {
                "409" => Status::Conflict,
                "422" => Status::Unacceptable,
                "503" => Status::Unavailable,
                _ => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read() {
        for line in TABLE.lines().skip(1) {
            let code = line.split(',').next().and_then(|code| code.parse().ok());
            assert!(code.and_then(ErrorRow::of).is_some(), "{line}");
        }
    }

    #[test]
    fn what_leaves_a_commit_open_is_said_so() {
        let undone = |code| ErrorRow::of(code).map(|known| known.undoes_a_commit);
        assert_eq!(undone(1213), Some(true));
        assert_eq!(undone(1053), Some(false));
        assert_eq!(undone(1180), Some(false));
        assert_eq!(undone(1030), Some(false));
        assert_eq!(undone(1036), Some(true));
        assert_eq!(undone(1064), None);
    }
}
