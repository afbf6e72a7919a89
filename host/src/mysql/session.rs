//! What statements change on their connection, so that the pool cleans up what it must and nothing more.

use mysql_async::consts::StatusFlags;

use super::errors::{AfterError, KnownError};
use super::sql::Effect;

/// The state of one connection between two statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    /// A transaction is open, or the next statement opens one because autocommit is off.
    pub(super) in_transaction: bool,
    /// Something has changed that outlives the transaction: a setting, a lock, a temporary table, a user variable.
    pub(super) changed: bool,
}

/// What the pool does with a connection after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It keeps the connection, whose state is in [`Session`].
    Keep,
    /// It closes the connection, because the server or the network no longer works.
    Close,
}

impl Session {
    /// Whether the next user may get the connection as it is.
    pub(super) fn is_clean(self) -> bool {
        self == Self::default()
    }

    /// Records a statement that succeeded, and the session's state as the server reports it.
    pub(super) fn succeeded(&mut self, effect: Effect, status: Option<StatusFlags>) {
        match effect {
            Effect::Read | Effect::Write => {}
            Effect::OpensTransaction => self.in_transaction = true,
            Effect::EndsTransaction => self.in_transaction = false,
            Effect::ChangesSession => self.changed = true,
        }
        let Some(status) = status else { return };
        let is_open = !status.contains(StatusFlags::SERVER_STATUS_AUTOCOMMIT)
            || status.contains(StatusFlags::SERVER_STATUS_IN_TRANS);
        if is_open && !self.in_transaction {
            // An unknown statement opened this transaction, so it may have changed more.
            *self = Self {
                in_transaction: true,
                changed: true,
            };
        }
    }

    /// Records a statement that failed. A statement that may change the session may have done so before it failed. Any
    /// other statement has changed nothing, if the table of errors says so.
    pub(super) fn failed(&mut self, effect: Effect, error: &mysql_async::Error) -> Verdict {
        let mysql_async::Error::Server(error) = error else {
            return Verdict::Close;
        };
        self.changed |= effect == Effect::ChangesSession;
        match KnownError::of(error.code).map(|known| known.session) {
            Some(AfterError::Kept) => {}
            Some(AfterError::Reset) | None => self.changed = true,
            Some(AfterError::Closed) => return Verdict::Close,
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::sql;

    const USUAL: StatusFlags = StatusFlags::SERVER_STATUS_AUTOCOMMIT;

    fn after(statements: &[&str]) -> Session {
        let mut session = Session::default();
        for statement in statements {
            session.succeeded(sql::effect(statement, None), None);
        }
        session
    }

    fn failed_with(statement: &str, code: u16) -> (Session, Verdict) {
        let mut session = Session::default();
        let error = mysql_async::Error::Server(mysql_async::ServerError {
            code,
            message: "x".into(),
            state: "HY000".into(),
        });
        let verdict = session.failed(sql::effect(statement, None), &error);
        (session, verdict)
    }

    #[test]
    fn a_transaction_is_open_until_autocommit_is_back() {
        assert!(after(&["SET autocommit=0"]).in_transaction);
        assert!(after(&["SET autocommit = 0", "COMMIT"]).in_transaction);
        assert!(after(&["SET autocommit=0", "UPDATE t SET a = 1", "SET autocommit=1"]).is_clean());
    }

    #[test]
    fn the_server_knows_of_a_transaction_that_nobody_was_seen_to_open() {
        let mut session = Session::default();
        session.succeeded(Effect::Read, Some(USUAL));
        assert!(session.is_clean());
        session.succeeded(Effect::Read, Some(StatusFlags::empty()));
        assert!(session.changed && session.in_transaction);

        let mut session = Session::default();
        session.succeeded(
            Effect::Write,
            Some(USUAL | StatusFlags::SERVER_STATUS_IN_TRANS),
        );
        assert!(session.changed);

        let mut session = after(&["SET autocommit=0"]);
        session.succeeded(Effect::Read, Some(StatusFlags::SERVER_STATUS_IN_TRANS));
        assert!(!session.changed && session.in_transaction);
    }

    #[test]
    fn a_failed_statement_leaves_a_session_as_it_could_have_made_it() {
        let insert = "INSERT INTO t VALUES (?)";
        assert_eq!(
            failed_with(insert, 1062),
            (Session::default(), Verdict::Keep)
        );
        for (statement, code) in [
            ("CALL p()", 1062),
            ("SELECT GET_LOCK('x', 0), (SELECT a FROM t)", 1242),
            (insert, 9999),
        ] {
            let (session, verdict) = failed_with(statement, code);
            assert!(session.changed, "{statement}");
            assert_eq!(verdict, Verdict::Keep);
        }
        assert_eq!(failed_with(insert, 1792).1, Verdict::Close);
    }
}
