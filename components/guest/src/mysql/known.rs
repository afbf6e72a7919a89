//! What is known of MySQL's errors: the components' side of `wit/mysql-errors.csv`, which the host reads too.

/// The table. Its columns are explained in `docs/MYSQL_ERRORS.md`.
const TABLE: &str = include_str!("../../../../wit/mysql-errors.csv");

/// One row of the table, as far as a component needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ErrorRow {
    /// The transaction may be tried again as a whole.
    pub(super) is_worth_a_retry: bool,
    /// When this answers a commit, nothing was committed.
    pub(super) undoes_a_commit: bool,
    /// Nothing was done, and the session is of no more use: the server refuses whatever would come in it.
    pub(super) refuses_the_session: bool,
    pub(super) status: Status,
}

/// What the client is told if nothing else was made of the error where it happened.
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
    /// What is known of an error, if it is known.
    pub(super) fn of(code: u16) -> Option<Self> {
        let code = code.to_string();
        TABLE
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(','))
            .find(|(known, _)| *known == code)
            .and_then(|(_, rest)| Self::parse(rest))
    }

    /// Reads what follows the code.
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
