//! What a statement leaves behind on its connection, so that the pool cleans up what must be cleaned and nothing more.

/// The state of one connection between two statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    /// A transaction is open, or the next statement opens one because autocommit is off.
    pub(super) in_transaction: bool,
    /// Something outlives the transaction: a setting, a lock, a temporary table, a user variable.
    pub(super) changed: bool,
}

impl Session {
    /// Whether the next user may have the connection as it is.
    pub(super) fn is_clean(self) -> bool {
        self == Self::default()
    }

    /// Takes note of a statement that succeeded.
    pub(super) fn observe(&mut self, statement: &str) {
        match effect(statement) {
            Effect::None => {}
            Effect::OpensTransaction => self.in_transaction = true,
            Effect::EndsTransaction => self.in_transaction = false,
            Effect::ChangesSession => self.changed = true,
        }
    }
}

enum Effect {
    None,
    OpensTransaction,
    EndsTransaction,
    ChangesSession,
}

/// Judges by the first words. What it doesn't know counts as a change: a reset too many costs a round trip, one too
/// few hands one request's session to another.
fn effect(statement: &str) -> Effect {
    let mut words = statement.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    let is = |word: &str| first.eq_ignore_ascii_case(word);
    if is("SET") {
        return set_effect(words);
    }
    if is("COMMIT") && words.next().is_none() {
        // With autocommit off the next statement opens a transaction again, so this ends nothing for good.
        return Effect::None;
    }
    let known = [
        "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "SHOW", "EXPLAIN",
    ];
    // `@` stands in user variables, `_LOCK` in GET_LOCK and RELEASE_LOCK.
    let lasting = statement.contains('@') || statement.to_ascii_uppercase().contains("_LOCK");
    if known.iter().any(|word| is(word)) && !lasting {
        Effect::None
    } else {
        Effect::ChangesSession
    }
}

fn set_effect<'a>(words: impl Iterator<Item = &'a str>) -> Effect {
    let assignment: String = words.collect::<String>().to_ascii_lowercase();
    match assignment.as_str() {
        "autocommit=0" => Effect::OpensTransaction,
        // Commits what is open: https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html
        "autocommit=1" => Effect::EndsTransaction,
        _ => Effect::ChangesSession,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(statements: &[&str]) -> Session {
        let mut session = Session::default();
        for statement in statements {
            session.observe(statement);
        }
        session
    }

    #[test]
    fn reads_and_writes_leave_a_session_clean() {
        assert!(
            after(&[
                "SELECT 1",
                "insert into t values (?)",
                "  UPDATE t SET a = ?",
                "DELETE FROM t"
            ])
            .is_clean()
        );
    }

    #[test]
    fn a_transaction_is_open_until_autocommit_is_back() {
        assert!(after(&["SET autocommit=0"]).in_transaction);
        assert!(after(&["SET autocommit = 0", "COMMIT"]).in_transaction);
        assert!(after(&["SET autocommit=0", "UPDATE t SET a = 1", "SET autocommit=1"]).is_clean());
    }

    #[test]
    fn what_outlives_a_transaction_is_a_change() {
        for statement in [
            "SET NAMES utf8mb4",
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SELECT GET_LOCK('a', 0)",
            "SELECT @a := 1",
            "CREATE TEMPORARY TABLE t (a INT)",
            "LOCK TABLES t WRITE",
            // On MariaDB, which prepares it, `SET autocommit=1` does not end what it opened.
            "BEGIN",
            "SELECT GET_LOCK ('a', 0)",
            "USE other",
            "",
        ] {
            assert!(after(&[statement]).changed, "{statement}");
        }
    }
}
