//! Knows the statements that may make or remove a view or trigger.

use super::ABOUT_ROWS;
use super::tokens::next_token;

/// Whether the statement may make or remove a view or trigger. Stored functions, which any statement may call, can't.
/// The first words tell, as the server prepares only one statement at a time.
pub(in crate::mysql) fn may_make_views(statement: &str) -> bool {
    // A comment that servers execute may hold any first words.
    first_words_make_views(statement).unwrap_or(true)
}

/// `None` if the first words are uncertain or missing.
fn first_words_make_views(statement: &str) -> Option<bool> {
    let mut rest = statement;
    let mut first = next_token(&mut rest)??;
    // Each SELECT of a union may stand in parentheses.
    while first.text == "(" {
        first = next_token(&mut rest)??;
    }
    if first.is("SET") {
        // In MariaDB, any statement may follow `SET STATEMENT … FOR`.
        return Some(next_token(&mut rest)??.is("STATEMENT"));
    }
    Some(!ABOUT_ROWS.iter().any(|word| first.is(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_may_make_a_view_are_known() {
        for statement in [
            "CREATE VIEW v AS SELECT f(1)",
            "CREATE VIEW v AS SELECT '\\'",
            "alter view v as select f(1)",
            "DROP TRIGGER g",
            "RENAME TABLE v TO w",
            "CALL p()",
            "SET STATEMENT max_statement_time = 1 FOR CREATE VIEW v AS SELECT f(1)",
            "SET /*!STATEMENT*/ max_statement_time = 1 FOR CREATE VIEW v AS SELECT f(1)",
            "BEGIN NOT ATOMIC CREATE VIEW v AS SELECT f(1); END",
            "/*!CREATE VIEW v AS SELECT f(1) */",
            "",
        ] {
            assert!(may_make_views(statement), "{statement}");
        }
        for statement in [
            "SELECT f(1)",
            "((SELECT f(1)) UNION SELECT 2)",
            "INSERT INTO other.t VALUES (1)",
            "SET @a = f(1)",
            // Only what comes later is uncertain.
            "SELECT a FROM t WHERE a LIKE '50\\%'",
            "SELECT 1 /*! , f(1) */",
            "SET @a = '50\\%'",
        ] {
            assert!(!may_make_views(statement), "{statement}");
        }
    }
}
