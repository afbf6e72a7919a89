//! MySQL's errors, which `spin:mysql` passes as text.

use spin_sdk::mysql::{Error, MysqlError as WitError};
use store_domain::StoreError;

use super::known::{ErrorRow, Status};

/// A unique key already has the value (ER_DUP_ENTRY).
const DUPLICATE: u16 = 1062;
/// Another row still refers to the row (ER_ROW_IS_REFERENCED_2).
const REFERRED_TO: u16 = 1451;
/// The row refers to a row that does not exist (ER_NO_REFERENCED_ROW_2).
const REFERS_TO_NOTHING: u16 = 1452;
/// Another transaction holds the row's lock: 1205 is the lock wait timeout, which MariaDB also answers to NOWAIT; 3572
/// is MySQL's answer to NOWAIT.
const LOCKED: [u16; 2] = [1205, 3572];
/// No room left: on the disk, for a file, or in a table.
const FULL: [u16; 3] = [1021, 1026, 1114];

/// The client's message for a conflict without a text of its own.
const CONFLICT: &str = "this collides with what is stored";
/// The client's message for a dangling reference without a text of its own.
const DANGLING: &str = "this refers to something that does not exist";

/// Why MySQL did not do what the component asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MysqlError {
    /// The component got no connection: the server is down, or the host's pool stayed empty for too long.
    #[error("no connection to MySQL: {0}")]
    Connect(String),
    /// The server answered with an error.
    #[error("MySQL error {code}: {text}")]
    Server {
        /// The server's error number.
        code: u16,
        /// The error's text, as the host passes it.
        text: String,
    },
    /// The connection was lost, or the host did not send the statement, or it gave no reason: under Spin, `query` hides
    /// the server's error.
    #[error("MySQL connection lost: {0}")]
    Lost(String),
    /// The commit was sent, but no answer came. The transaction may or may not have happened.
    #[error("MySQL commit without an answer: {0}")]
    CommitUnknown(String),
    /// A bug: a statement, parameter or column of the wrong kind.
    #[error("unexpected answer from MySQL: {0}")]
    Unexpected(String),
}

impl MysqlError {
    /// The error of a unique key that already has the value.
    pub(crate) fn duplicate(text: &str) -> Self {
        Self::Server {
            code: DUPLICATE,
            text: text.into(),
        }
    }

    /// Whether a unique key already has the value.
    pub fn is_duplicate(&self) -> bool {
        self.code() == Some(DUPLICATE)
    }

    /// Whether other rows still refer to the row that was to be deleted.
    pub fn is_referred_to(&self) -> bool {
        self.code() == Some(REFERRED_TO)
    }

    /// Whether the row that was to be written refers to a row that does not exist.
    pub fn refers_to_nothing(&self) -> bool {
        self.code() == Some(REFERS_TO_NOTHING)
    }

    /// Whether another transaction holds the row's lock.
    pub fn is_locked(&self) -> bool {
        self.code().is_some_and(|code| LOCKED.contains(&code))
    }

    /// Whether every other transaction would now fail with this error too, because it is about the server and not about
    /// the statement.
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::Connect(_) | Self::CommitUnknown(_) => true,
            Self::Server { code, .. } => {
                let known = ErrorRow::of(*code);
                FULL.contains(code) || known.is_some_and(|known| known.refuses_the_session)
            }
            Self::Lost(_) | Self::Unexpected(_) => false,
        }
    }

    /// Whether a transaction that failed with this error before its commit was sent may be retried as a whole.
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Server { code, .. } => {
                ErrorRow::of(*code).is_some_and(|known| known.is_worth_a_retry)
            }
            Self::Lost(_) => true,
            Self::Connect(_) | Self::CommitUnknown(_) | Self::Unexpected(_) => false,
        }
    }

    /// Whether this error, as the answer to a commit, says for certain that nothing was committed.
    pub(super) fn undoes_a_commit(&self) -> bool {
        let known = self.code().and_then(ErrorRow::of);
        known.is_some_and(|known| known.undoes_a_commit)
    }

    /// The error of an `open` that was refused.
    pub(super) fn from_open(error: Error) -> Self {
        match error {
            Error::MysqlError(WitError::ConnectionFailed(text) | WitError::Other(text)) => {
                Self::Connect(without_credentials(&text))
            }
            other => Self::Connect(without_credentials(&other.to_string())),
        }
    }

    fn from_text(text: String) -> Self {
        /// The last is our host's, when other calls of the instance take all the memory that it holds for them.
        const GONE: [&str; 6] = [
            "Io(",
            "closed",
            "Disconnected",
            "reset by peer",
            "timed out",
            "no room is left for more",
        ];
        if let Some(code) = server_code(&text) {
            Self::Server { code, text }
        } else if GONE.iter().any(|sign| text.contains(sign)) {
            Self::Lost(text)
        } else {
            Self::Unexpected(text)
        }
    }

    fn code(&self) -> Option<u16> {
        match self {
            Self::Server { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl From<Error> for MysqlError {
    fn from(error: Error) -> Self {
        match error {
            Error::MysqlError(error) => error.into(),
            Error::Decode(text) => Self::Unexpected(text),
        }
    }
}

impl From<WitError> for MysqlError {
    fn from(error: WitError) -> Self {
        match error {
            WitError::ConnectionFailed(text) => Self::Connect(without_credentials(&text)),
            WitError::QueryFailed(text) | WitError::Other(text) => Self::from_text(text),
            WitError::BadParameter(text) | WitError::ValueConversionFailed(text) => {
                Self::Unexpected(text)
            }
        }
    }
}

/// The store's error for a MySQL error that the caller did not treat specially.
impl From<MysqlError> for StoreError {
    fn from(error: MysqlError) -> Self {
        let text = error.to_string();
        match error {
            MysqlError::Connect(_) | MysqlError::Lost(_) => Self::Unavailable(text),
            MysqlError::CommitUnknown(_) => Self::OutcomeUnknown(text),
            MysqlError::Server { code, .. } => match ErrorRow::of(code).map(|known| known.status) {
                Some(Status::Conflict) => Self::Conflict(CONFLICT.into()),
                Some(Status::Unacceptable) => Self::Unacceptable(DANGLING.into()),
                Some(Status::Unavailable) => Self::Unavailable(text),
                None => Self::Internal(text),
            },
            MysqlError::Unexpected(_) => Self::Internal(text),
        }
    }
}

impl From<MysqlError> for crate::Problem {
    fn from(error: MysqlError) -> Self {
        Self::Store(error.into())
    }
}

/// The number in `Server(ServerError { code: 1213, message: …`, which is how Spin and our host write a server's error.
fn server_code(text: &str) -> Option<u16> {
    let (_, after) = text.split_once("ServerError { code: ")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The text with every `://user:password@` masked: when Spin refuses an address, its message repeats the whole address.
fn without_credentials(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str("://");
        let authority_end = part.find(|c: char| c == '/' || c.is_whitespace());
        let (authority, rest) = part.split_at(authority_end.unwrap_or(part.len()));
        match authority.rsplit_once('@') {
            Some((_, host)) => clean.extend(["***@", host]),
            None => clean.push_str(authority),
        }
        clean.push_str(rest);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPIN_DEADLOCK: &str = "Server(ServerError { code: 1213, message: \"Deadlock found when trying to get lock; \
        try restarting transaction\", state: \"40001\" })";

    fn failed(text: &str) -> MysqlError {
        MysqlError::from(WitError::QueryFailed(text.into()))
    }

    fn server(code: u16) -> MysqlError {
        failed(&format!(
            "Server(ServerError {{ code: {code}, message: \"x\", state: \"HY000\" }})"
        ))
    }

    #[test]
    fn a_server_error_has_its_code() {
        assert_eq!(failed(SPIN_DEADLOCK).code(), Some(1213));
        assert!(server(1062).is_duplicate());
        assert!(server(1451).is_referred_to());
        assert!(server(1452).refers_to_nothing());
        assert!(server(1205).is_locked() && server(3572).is_locked());
        assert_eq!(failed("code: 1213").code(), None);
    }

    #[test]
    fn conflicts_and_lost_connections_are_tried_again() {
        for error in [
            failed(SPIN_DEADLOCK),
            server(1205),
            server(1020),
            server(1927),
            server(1792),
            server(1047),
            server(3101),
            failed(
                "Io(Io(Os { code: 104, kind: ConnectionReset, message: \"Connection reset by peer\" }))",
            ),
            MysqlError::from(WitError::Other("async error: channel closed".into())),
        ] {
            assert!(error.is_retryable(), "{error}");
        }
    }

    #[test]
    fn what_a_server_says_of_itself_concerns_all() {
        for error in [
            MysqlError::Connect("refused".into()),
            MysqlError::CommitUnknown("x".into()),
            server(1021),
            server(1026),
            server(1036),
            server(1040),
            server(1047),
            server(1114),
            server(1290),
            server(1792),
            server(1836),
            server(3797),
        ] {
            assert!(error.concerns_all(), "{error}");
        }
        for error in [
            failed(SPIN_DEADLOCK),
            server(1062),
            server(1205),
            server(1452),
            server(1927),
            server(2013),
            server(3101),
            server(9999),
            failed("Io(BrokenPipe)"),
        ] {
            assert!(!error.concerns_all(), "{error}");
        }
    }

    #[test]
    fn what_fails_again_is_not_tried_again() {
        for error in [
            server(1062),
            server(1064),
            server(1969),
            failed("Url(InvalidScheme)"),
            MysqlError::Connect("refused".into()),
        ] {
            assert!(!error.is_retryable(), "{error}");
        }
    }

    #[test]
    fn a_commit_without_an_answer_is_not_tried_again() {
        let error = MysqlError::CommitUnknown("x".into());
        assert!(!error.is_retryable());
        assert!(matches!(error.into(), StoreError::OutcomeUnknown(_)));
    }

    #[test]
    fn only_what_is_known_to_undo_a_commit_leaves_no_doubt() {
        for error in [failed(SPIN_DEADLOCK), server(1792), server(3101)] {
            assert!(error.undoes_a_commit() && error.is_retryable(), "{error}");
        }
        for error in [
            server(1053),
            server(1180),
            server(1927),
            server(9999),
            failed("Io(BrokenPipe)"),
        ] {
            assert!(!error.undoes_a_commit(), "{error}");
        }
    }

    #[test]
    fn what_may_pass_is_unavailable_and_the_rest_is_a_bug() {
        for error in [
            server(1213),
            server(1792),
            server(1969),
            server(1047),
            failed("Io(x)"),
            WitError::Other("the component does not read …; no room is left for more".into())
                .into(),
            MysqlError::Connect("x".into()),
        ] {
            assert!(matches!(error.into(), StoreError::Unavailable(_)));
        }
        assert!(matches!(server(1062).into(), StoreError::Conflict(_)));
        assert!(matches!(server(1452).into(), StoreError::Unacceptable(_)));
        for error in [
            server(1064),
            failed("x"),
            WitError::BadParameter("x".into()).into(),
        ] {
            assert!(matches!(error.into(), StoreError::Internal(_)));
        }
    }

    #[test]
    fn credentials_never_reach_the_log() {
        let error = MysqlError::from_open(Error::MysqlError(WitError::ConnectionFailed(
            "address mysql://store:p@ss%2F@db:3306/store is not permitted".into(),
        )));
        assert_eq!(
            error.to_string(),
            "no connection to MySQL: address mysql://***@db:3306/store is not permitted"
        );
        assert_eq!(without_credentials("no url here"), "no url here");
        assert_eq!(
            without_credentials("at mysql://db:3306/x"),
            "at mysql://db:3306/x"
        );
    }
}
