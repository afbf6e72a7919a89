//! MySQL's errors: which of them mean that a connection is gone or that a setting is wrong, and what the host reads
//! from `wit/mysql-errors.csv`, which components read too.

use std::io::ErrorKind;

use mysql_async::{DriverError, IoError};

use crate::outbound::{stands, tls_error};

/// The table of errors. `docs/MYSQL_ERRORS.md` explains its columns.
const TABLE: &str = include_str!("../../../wit/mysql-errors.csv");

/// Error codes of a server that shuts down or goes offline, or that ended, killed or closed the connection, for example
/// because it was idle for too long.
const CLOSED: [u16; 9] = [1053, 1079, 1152, 1184, 1927, 3032, 3169, 4031, 6400];

/// Error codes of a server that refuses the user or the password, or the user's right to the database.
const REFUSALS: [u16; 3] = [1044, 1045, 1698];

/// The error code of a server that has no such database.
const NO_DATABASE: u16 = 1049;

/// The error code of a server that takes no connection without TLS.
const TLS_WANTED: u16 = 3159;

/// What the pool does with a session after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterError {
    /// The session is as it was before the statement, so the pool keeps it.
    Kept,
    /// The session may have changed, so the pool resets it.
    Reset,
    /// The server or the session may not work for a while, so the pool closes the connection.
    Closed,
}

/// One row of the table, with the columns that the host needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownError {
    pub(super) session: AfterError,
}

impl KnownError {
    /// Looks up an error by its code. `None` if the table does not have it.
    pub(super) fn of(code: u16) -> Option<Self> {
        let code = code.to_string();
        TABLE
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(','))
            .find(|(known, _)| *known == code)
            .and_then(|(_, rest)| Self::parse(rest))
    }

    /// Parses the columns after the code.
    fn parse(rest: &str) -> Option<Self> {
        let mut columns = rest.split(',').skip(3);
        let session = match columns.next()? {
            "kept" => AfterError::Kept,
            "reset" => AfterError::Reset,
            "closed" => AfterError::Closed,
            _ => return None,
        };
        Some(Self { session })
    }
}

/// Whether an error means that the server has closed the connection, or that the connection was lost.
pub(super) fn says_closed(error: &mysql_async::Error) -> bool {
    match error {
        mysql_async::Error::Server(error) => CLOSED.contains(&error.code),
        mysql_async::Error::Driver(DriverError::ConnectionClosed) => true,
        mysql_async::Error::Io(IoError::Io(error)) => matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::NotConnected
        ),
        _ => false,
    }
}

/// Whether the server has answered and refused the user, so that waiting does not help.
pub(crate) fn is_refusal(error: &mysql_async::Error) -> bool {
    match error {
        mysql_async::Error::Server(error) => REFUSALS.contains(&error.code),
        // So that nobody learns which users there are, MySQL asks those it does not know for any kind of password.
        mysql_async::Error::Driver(DriverError::UnknownAuthPlugin { .. }) => true,
        _ => false,
    }
}

/// Whether the server has no such database. Migrations make it.
pub(crate) fn lacks_database(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(error) if error.code == NO_DATABASE)
}

/// Whether client and server don't agree on TLS, so that waiting does not help: the server has none, demands it, or
/// shows a certificate that is not trusted.
pub(crate) fn is_about_tls(error: &mysql_async::Error) -> bool {
    match error {
        mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer) => true,
        mysql_async::Error::Server(error) => error.code == TLS_WANTED,
        error => tls_error(error).is_some_and(stands),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_well_formed() {
        let mut lines = TABLE.lines();
        assert_eq!(
            lines.next(),
            Some("code,symbol,meaning,again,session,commit,status")
        );
        let mut before = 0;
        for line in lines {
            let columns: Vec<&str> = line.split(',').collect();
            let [code, symbol, meaning, again, session, commit, status] = columns[..] else {
                panic!("not seven columns: {line}");
            };
            let code: u16 = code.parse().expect("a number");
            assert!(code > before, "{line} is out of order");
            before = code;
            assert!(
                symbol.starts_with("ER_") || symbol.starts_with("CR_"),
                "{line}"
            );
            assert!(!meaning.is_empty(), "{line}");
            assert!(["yes", "no"].contains(&again), "{line}");
            assert!(["kept", "reset", "closed"].contains(&session), "{line}");
            assert!(["undone", "open"].contains(&commit), "{line}");
            assert!(["409", "422", "503"].contains(&status), "{line}");
            assert!(KnownError::of(code).is_some(), "{line}");
        }
    }

    #[test]
    fn the_documents_have_the_same_table() {
        let page = include_str!("../../../docs/MYSQL_ERRORS.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
        let expected: Vec<String> = TABLE
            .lines()
            .map(|line| format!("| {} |", line.split(',').collect::<Vec<_>>().join(" | ")))
            .collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn an_error_says_what_becomes_of_its_session() {
        let session = |code| KnownError::of(code).map(|known| known.session);
        assert_eq!(session(1062), Some(AfterError::Kept));
        assert_eq!(session(1792), Some(AfterError::Closed));
        assert_eq!(session(106), None);
        assert_eq!(session(1064), None);
    }
}
