//! Finds out whether a statement names a table or view of another database. When a connection is opened, the views and
//! triggers of its own database are looked through; those of other databases are not, and may change a session.
//!
//! A name with a dot may also be a column of a table: `o.id`. So the clauses of the statement are followed. Where it is
//! uncertain, a name counts as that of a table.

use super::tokens::{Kind, Token};

/// What names with a dot mean in a part of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clause {
    /// Tables.
    Tables,
    /// Columns, in the condition of a join. After a comma, tables follow again.
    Condition,
    /// Columns.
    Columns,
}

/// Reserved words after which tables come.
const BEFORE_TABLES: [&str; 8] = [
    "DELETE",
    "FROM",
    "INTO",
    "JOIN",
    "STRAIGHT_JOIN",
    "TABLE",
    "UPDATE",
    "USING",
];

/// Reserved words after which columns come.
const BEFORE_COLUMNS: [&str; 7] = [
    "GROUP", "HAVING", "LIMIT", "ORDER", "SELECT", "SET", "WHERE",
];

impl Clause {
    /// The clause after `word`, which stands between `before` and `rest`. Only reserved words lead away from tables:
    /// any other may be the alias of one.
    fn after(self, word: &Token<'_>, before: &[Token<'_>], rest: &[Token<'_>]) -> Self {
        let follows = |text: &str| before.last().is_some_and(|last| last.is(text));
        let is_function = rest.first().is_some_and(|next| next.text == "(");
        let is = |text: &str| word.is(text);
        let is_any = |texts: &[&str]| texts.iter().any(|text| word.is(text));
        // After a dot, a reserved word is a name. `USE INDEX FOR ORDER BY` belongs to a table, after which others may
        // come.
        if follows(".") || (is_any(&["GROUP", "ORDER"]) && follows("FOR")) {
            self
        } else if is("ON") {
            Self::Condition
        } else if is_any(&BEFORE_COLUMNS)
            || (is("UPDATE") && follows("KEY"))
            // Elsewhere it may be the function of this name.
            || (is("VALUES") && self == Self::Tables)
        {
            Self::Columns
        } else if is_any(&BEFORE_TABLES) || (is_any(&["INSERT", "REPLACE"]) && !is_function) {
            Self::Tables
        } else {
            self
        }
    }
}

/// Whether the statement names a table of another database than `own`. Without `own`, every database is another.
pub(super) fn name_another_database(tokens: &[Token<'_>], own: Option<&str>) -> bool {
    // Most statements have no dot, and this judges each one.
    let is_dot = |token: &Token<'_>| token.kind == Kind::Sign && token.text == ".";
    if !tokens.iter().any(is_dot) {
        return false;
    }
    let mut clause = Clause::Columns;
    let mut around = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let (before, rest) = (&tokens[..at], &tokens[at + 1..]);
        match (token.kind, token.text) {
            (Kind::Word, _) => clause = clause.after(token, before, rest),
            (Kind::Sign, "(") => {
                around.push(clause);
                if clause == Clause::Condition {
                    clause = Clause::Columns;
                }
            }
            (Kind::Sign, ")") => clause = around.pop().unwrap_or(clause),
            (Kind::Sign, ",") if clause == Clause::Condition => clause = Clause::Tables,
            (Kind::Sign, ".") if clause == Clause::Tables && !ends_with(before, own) => {
                return true;
            }
            _ => {}
        }
    }
    false
}

/// Whether the last of these tokens is the name of the database `own`.
fn ends_with(tokens: &[Token<'_>], own: Option<&str>) -> bool {
    let Some(name) = tokens.last() else {
        return false;
    };
    let text = match name.kind {
        Kind::Quoted => &name.text[1..name.text.len() - 1],
        _ => name.text,
    };
    // A quote in a quoted name is doubled, so such a name is not `own` as it is written.
    own == Some(text) && !text.contains(['`', '"'])
}

#[cfg(test)]
mod tests {
    use super::super::{Effect, effect};

    #[track_caller]
    fn changes(statement: &str) -> bool {
        effect(statement, Some("db")) == Effect::ChangesSession
    }

    #[test]
    fn a_table_of_another_database_is_found_wherever_tables_are_named() {
        for statement in [
            "SELECT n FROM other.hides",
            "SELECT n FROM other . `hides`",
            "SELECT n FROM `other`.hides",
            "SELECT (SELECT n FROM other.hides)",
            "SELECT 1 FROM (t, other.hides)",
            "SELECT t.n FROM t AS other, other.hides",
            "SELECT 1 FROM t LEFT JOIN other.hides ON 1",
            "SELECT 1 FROM t JOIN u ON t.a = u.a, other.hides",
            "SELECT 1 FROM t JOIN u ON VALUES(a) IS NULL, other.hides",
            "SELECT 1 FROM t USE INDEX FOR ORDER BY (a), other.hides",
            "SELECT 1 UNION SELECT n FROM other.hides",
            "WITH a AS (SELECT n FROM other.hides) SELECT * FROM a",
            "EXPLAIN SELECT n FROM other.hides",
            "INSERT INTO other.t VALUES (1)",
            "INSERT other.t VALUES (1)",
            "INSERT INTO t TABLE other.hides",
            "REPLACE other.t VALUES (1)",
            "UPDATE t, other.u SET u.a = 1",
            "DELETE FROM t USING t, other.u",
            // A reserved word that is a name.
            "SELECT 1 FROM db.where, other.hides",
            // Names that are not that of the database `db`.
            "SELECT 1 FROM DB.t",
            "SELECT 1 FROM `a``db`.t",
        ] {
            assert!(changes(statement), "{statement}");
        }
        assert_eq!(
            effect("SELECT a FROM db.t", None),
            Effect::ChangesSession,
            "without a database of its own"
        );
        assert_eq!(
            effect("SELECT 1 FROM `a``b`.t", Some("a``b")),
            Effect::ChangesSession,
            "a name with one quote is not that with two"
        );
    }

    #[test]
    fn columns_and_tables_of_the_own_database_are_harmless() {
        for statement in [
            "SELECT t.a, 1.5 FROM db.t AS t JOIN `db`.u ON u.a = t.a",
            "SELECT o.a FROM o LEFT JOIN i ON i.a = o.a AND (i.b, o.b) IN ((1, 2)) WHERE o.c = 1 ORDER BY o.a, i.a",
            "SELECT REPLACE(o.name, 'a', 'b'), o.id FROM t o GROUP BY o.a, o.b HAVING o.a > 1.5",
            "(SELECT 1, t.a FROM t LOCK IN SHARE MODE) UNION ALL (SELECT 2, u.a FROM u WHERE u.id IN (?))",
            "INSERT INTO t (a) SELECT o.a FROM u o ON DUPLICATE KEY UPDATE t.a = o.a, t.b = 1.5",
            "UPDATE t o JOIN u ON u.a = o.a SET o.b = 1, o.c = u.c",
            "REPLACE INTO t VALUES (1.5)",
            // As servers write the text of a view.
            "select `db`.`a`.`id` AS `id` from (`db`.`a` join `db`.`b` on(`db`.`a`.`id` = `db`.`b`.`id`))",
        ] {
            assert!(!changes(statement), "{statement}");
        }
    }
}
