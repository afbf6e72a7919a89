//! What a component says of a query in a comment at the query's end. Servers ignore the comment, and so does the host
//! where an address stands for a single server.

use super::sql::{self, Effect};

/// What to do with a query while a group of servers has no writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hint {
    /// Wait for the writer.
    #[default]
    None,
    /// Fail at once.
    NoWait,
    /// Ask another member, whose answer may be stale.
    MayBeStale,
}

/// The comments. The components' `store_guest::mysql` has the same.
const NO_WAIT: &str = "/* no wait */";
const MAY_BE_STALE: &str = "/* may be stale */";

impl Hint {
    /// The hint of a query. A statement that may do more than read has none, whatever its comment says.
    pub(super) fn of(statement: &str) -> Self {
        let hint = if statement.ends_with(NO_WAIT) {
            Self::NoWait
        } else if statement.ends_with(MAY_BE_STALE) {
            Self::MayBeStale
        } else {
            return Self::None;
        };
        // Whichever database the connection has: a query with a hint has no need to name one.
        match sql::effect(statement, None) {
            Effect::Read => hint,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_write_the_same_comments() {
        let guest = include_str!("../../../components/guest/src/mysql/mod.rs");
        for line in [
            format!("pub(crate) const NO_WAIT: &str = \" {NO_WAIT}\";"),
            format!("format!(\"{{query}} {MAY_BE_STALE}\")"),
        ] {
            let mut lines = guest.lines();
            assert!(lines.any(|known| known.trim() == line), "{line}");
        }
    }

    #[test]
    fn only_a_read_has_a_hint() {
        for (statement, hint) in [
            ("SELECT a FROM t WHERE id = ?", Hint::None),
            (
                "SELECT a FROM t WHERE id = ? /* may be stale */",
                Hint::MayBeStale,
            ),
            ("SELECT a FROM t WHERE id = ? /* no wait */", Hint::NoWait),
            ("SELECT '/* may be stale */' FROM t", Hint::None),
            ("DELETE FROM t /* may be stale */", Hint::None),
            ("SELECT f(1) /* may be stale */", Hint::None),
            ("SET autocommit = 0 /* no wait */", Hint::None),
            ("SELECT 1 /*!, f(1) /* may be stale */", Hint::None),
        ] {
            assert_eq!(Hint::of(statement), hint, "{statement}");
        }
    }
}
