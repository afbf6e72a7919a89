//! Judges by its text what a statement can do to its session. Whatever is not known to be harmless counts as a change:
//! one reset too many costs a round trip, one too few passes one request's session on to another.
//!
//! A view or a trigger may hide a call of a stored function. So whenever a connection is opened or reset, the texts of
//! its database's views and triggers are judged in the same way; a reset does without that while one is known that may
//! change a session. A statement that names a table of another database counts as a change. Between two generations of
//! a component, a session is always reset.

mod tables;
mod tokens;
mod views;
mod xa;

use std::collections::HashSet;
use std::sync::LazyLock;

use tokens::{Kind, Token, tokens};
pub(super) use views::may_make_views;
pub(super) use xa::refusal;

/// What a statement does to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only reads, so it could be run again.
    Read,
    Write,
    OpensTransaction,
    EndsTransaction,
    ChangesSession,
}

impl Effect {
    /// Whether a statement that failed because its connection was closed may be sent again on another connection. This
    /// holds only if no earlier statement on the old connection counts.
    pub(super) fn is_repeatable(self) -> bool {
        matches!(self, Self::Read | Self::OpensTransaction)
    }
}

/// Functions of MySQL and MariaDB that may be called because they change nothing. A stored function can't have the name
/// of one of these if the parenthesis follows the name directly. Only `LAST_INSERT_ID` changes something, when it has
/// an argument.
const FUNCTIONS: &str = "
    ABS ADDDATE ADDTIME ASCII AVG BIN BIT_COUNT BIT_LENGTH CAST CEIL CEILING CHAR CHARACTER_LENGTH
    CHAR_LENGTH COALESCE CONCAT CONCAT_WS CONNECTION_ID CONV CONVERT CONVERT_TZ COUNT CRC32 CURDATE CURRENT_DATE
    CURRENT_TIME CURRENT_TIMESTAMP CURTIME DATABASE DATE DATEDIFF DATE_ADD DATE_FORMAT DATE_SUB DAY DAYNAME
    DAYOFMONTH DAYOFWEEK DAYOFYEAR DENSE_RANK ELT EXTRACT FIELD FIND_IN_SET FLOOR FORMAT FOUND_ROWS
    FROM_BASE64 FROM_DAYS FROM_UNIXTIME GREATEST GROUP_CONCAT HEX HOUR IF IFNULL INSERT INSTR JSON_ARRAY
    JSON_ARRAYAGG JSON_CONTAINS JSON_EXTRACT JSON_LENGTH JSON_OBJECT JSON_OBJECTAGG JSON_UNQUOTE
    JSON_VALID JSON_VALUE LAG LAST_DAY LAST_INSERT_ID LCASE LEAD LEAST LEFT LENGTH LOCATE LOWER LPAD LTRIM
    MAKEDATE MATCH MAX MD5 MICROSECOND MID MIN MINUTE MOD MONTH MONTHNAME NOW NULLIF OCTET_LENGTH POSITION
    POW POWER QUARTER RANK REGEXP_REPLACE REPEAT REPLACE REVERSE RIGHT ROUND ROW_COUNT
    ROW_NUMBER RPAD RTRIM SECOND SHA1 SHA2 SIGN SPACE SQRT STRCMP STR_TO_DATE SUBDATE SUBSTR SUBSTRING
    SUBSTRING_INDEX SUM TIME TIMEDIFF TIMESTAMP TIMESTAMPADD TIMESTAMPDIFF TO_BASE64 TO_DAYS TRIM TRUNCATE
    UCASE UNHEX UNIX_TIMESTAMP UPPER USER UTC_DATE UTC_TIME UTC_TIMESTAMP UUID VALUES VERSION WEEK WEEKDAY
    YEAR
";

/// Keywords that may stand before a parenthesis without being a call.
const KEYWORDS: &str = "
    ALL AND ANY AS BETWEEN BY CASE DECIMAL DISTINCT DIV ELSE EXCEPT EXISTS FROM HAVING IN INDEX
    INTERSECT INTERVAL INTO IS JOIN KEY LIKE LIMIT NOT ON OR OVER PARTITION REGEXP RLIKE ROW SELECT
    SET SOME THEN UNION USING VALUE VALUES WHEN WHERE XOR
";

/// The words that may stand before a parenthesis.
struct Words {
    keywords: HashSet<&'static str>,
    functions: HashSet<&'static str>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| Words {
    keywords: KEYWORDS.split_ascii_whitespace().collect(),
    functions: FUNCTIONS.split_ascii_whitespace().collect(),
});

/// The first words of statements that read or write rows.
const ABOUT_ROWS: [&str; 8] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "SHOW", "EXPLAIN",
];

/// Judges one statement on a connection whose default database is `database`.
pub(super) fn effect(statement: &str, database: Option<&str>) -> Effect {
    let Some(tokens) = tokens(statement) else {
        return Effect::ChangesSession;
    };
    let first = first_word(&tokens);
    let is = |word: &str| first.eq_ignore_ascii_case(word);
    if is("SET") {
        return set_effect(&tokens[1..]);
    }
    if is("COMMIT") && tokens.len() == 1 {
        // With autocommit off, the next statement opens a new transaction, so COMMIT does not end the need to clean up.
        return Effect::Write;
    }
    if !ABOUT_ROWS.iter().any(|word| is(word))
        || !tokens_are_harmless(&tokens)
        || use_a_sequence(&tokens)
        || tables::name_another_database(&tokens, database)
    {
        return Effect::ChangesSession;
    }
    let writes = |token: &Token<'_>| token.kind == Kind::Word && token.is("INTO");
    if is("SELECT") && !tokens.iter().any(writes) {
        Effect::Read
    } else {
        Effect::Write
    }
}

fn first_word<'a>(tokens: &[Token<'a>]) -> &'a str {
    // Each SELECT of a union may stand in parentheses.
    let first = tokens.iter().find(|token| token.text != "(");
    first.map_or("", |token| token.text)
}

fn set_effect(assignment: &[Token<'_>]) -> Effect {
    match assignment {
        [name, equals, value] if name.is("autocommit") && equals.text == "=" => match value.text {
            "0" => Effect::OpensTransaction,
            // Commits an open transaction: https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html
            "1" => Effect::EndsTransaction,
            _ => Effect::ChangesSession,
        },
        _ => Effect::ChangesSession,
    }
}

/// Whether the statement uses no variable, calls only listed functions, and gives `LAST_INSERT_ID` no argument.
fn tokens_are_harmless(tokens: &[Token<'_>]) -> bool {
    tokens
        .iter()
        .enumerate()
        .all(|(at, token)| match token.text {
            // Both user variables and system variables begin with `@`.
            "@" if token.kind == Kind::Sign => false,
            // The text after it may be any statement.
            ";" if token.kind == Kind::Sign => at + 1 == tokens.len(),
            "(" if token.kind == Kind::Sign => {
                let (before, after) = (&tokens[..at], &tokens[at + 1..]);
                may_come_before_parenthesis(before, token) && !sets_insert_id(before, after)
            }
            _ => true,
        })
}

/// Whether the statement asks a sequence of MariaDB for a value, which the session remembers as the sequence's last.
fn use_a_sequence(tokens: &[Token<'_>]) -> bool {
    tokens.windows(3).any(|part| {
        part[1].is("VALUE") && part[2].is("FOR") && (part[0].is("NEXT") || part[0].is("PREVIOUS"))
    })
}

fn may_come_before_parenthesis(before: &[Token<'_>], parenthesis: &Token<'_>) -> bool {
    let Some((last, before)) = before.split_last() else {
        return true;
    };
    let is_qualified = before.last().is_some_and(|token| token.text == ".");
    match last.kind {
        Kind::Sign => true,
        // After a dot, digits are a name.
        Kind::Number => !is_qualified || names_a_table(before),
        // Quoted text is never called, but with ANSI_QUOTES it may be a name.
        Kind::Quoted => names_a_table(before),
        Kind::Word => {
            let word = last.text.to_ascii_uppercase();
            let is_keyword = WORDS.keywords.contains(word.as_str());
            // With a space before the parenthesis, even a name like COUNT may be that of a stored function.
            let is_function = !parenthesis.after_space && WORDS.functions.contains(word.as_str());
            (!is_qualified && (is_keyword || is_function)) || names_a_table(before)
        }
    }
}

/// Whether the parenthesis between `before` and `after` holds an argument of `LAST_INSERT_ID`.
fn sets_insert_id(before: &[Token<'_>], after: &[Token<'_>]) -> bool {
    before.last().is_some_and(|name| name.is("LAST_INSERT_ID"))
        && after.first().is_none_or(|token| token.text != ")")
}

/// Whether the parenthesis follows the table name of an INSERT, and so holds a list of columns.
fn names_a_table(before: &[Token<'_>]) -> bool {
    match before {
        [.., into] if into.kind == Kind::Word && into.is("INTO") => true,
        [.., into, _database, dot] if dot.text == "." => into.kind == Kind::Word && into.is("INTO"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn all(expected: Effect, statements: &[&str]) {
        for statement in statements {
            assert_eq!(effect(statement, Some("db")), expected, "{statement}");
        }
    }

    #[test]
    fn reads_are_known() {
        all(
            Effect::Read,
            &[
                "SELECT 1",
                "  select a, b FROM t WHERE id IN (?, ?) FOR UPDATE",
                "SELECT CAST(SUM(price*100) AS SIGNED) FROM `t` WHERE a = 'f(x); @b' -- g(1)",
                "SELECT (SELECT COUNT(*) FROM t), COALESCE(a, 0) FROM t /* h(1) */ LIMIT 5",
                "SELECT LAST_INSERT_ID();",
                "SELECT last_insert_id( /* of this session */ ) + 1",
                "SELECT CAST(a AS DECIMAL(10,2)) FROM (SELECT 1 AS a) AS b WHERE (a, 1) IN ((1, 1))",
                "SELECT 'it''s @x', `a``b` FROM t",
                "(SELECT 1, a FROM t LOCK IN SHARE MODE) UNION ALL (SELECT 2, b FROM u WHERE id IN (?))",
            ],
        );
    }

    #[test]
    fn writes_are_known() {
        all(
            Effect::Write,
            &[
                "insert into t (a, b) values (?, ?) ON DUPLICATE KEY UPDATE a = VALUES(a)",
                "INSERT INTO `db`.`t` (a) SELECT a FROM u WHERE (b = 1)",
                "INSERT INTO db.t(a) VALUES(1)",
                "INSERT INTO `a``b` (a) VALUES (1)",
                "UPDATE t SET a = a + ? WHERE id = ?",
                "DELETE FROM t WHERE a < NOW() - INTERVAL ? SECOND",
                "COMMIT",
                "WITH a AS (SELECT 1) SELECT * FROM a",
                "SELECT a FROM t INTO OUTFILE 'x'",
            ],
        );
    }

    #[test]
    fn transactions_are_known() {
        all(
            Effect::OpensTransaction,
            &["SET autocommit=0", "set AUTOCOMMIT = 0"],
        );
        all(Effect::EndsTransaction, &["SET autocommit = 1"]);
    }

    #[test]
    fn whatever_may_last_is_a_change() {
        all(
            Effect::ChangesSession,
            &[
                "SET NAMES utf8mb4",
                "SET autocommit = 0, sql_mode = ''",
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                "SELECT GET_LOCK('a', 0)",
                "SELECT GET_LOCK ('a', 0)",
                "SELECT GET_LOCK/**/('a', 0)",
                "SELECT @a := 1",
                "SELECT @@sql_mode",
                "SELECT my_function(1)",
                "SELECT 1f(1)",
                "SELECT f•(1)",
                "SELECT COUNT\u{a0}(1)",
                "SELECT '\\', f(1), 'x'",
                "SELECT `my_function`(1)",
                "SELECT \"my_function\"(1)",
                "SELECT db.my_function(1)",
                "SELECT db.COUNT(1)",
                // With the space, this may be a stored function.
                "SELECT COUNT (1)",
                "SELECT SLEEP(1)",
                "SELECT LAST_INSERT_ID(77)",
                "SELECT last_insert_id( (77) )",
                "UPDATE t SET a = LAST_INSERT_ID(a + 1)",
                "INSERT INTO t (a) VALUES (?) ON DUPLICATE KEY UPDATE a = LAST_INSERT_ID(a)",
                "UPDATE t SET a = my_function(b)",
                "SELECT 1 /*! , GET_LOCK('a', 0) */",
                // Servers take a control character after the two dashes for the start of a comment too.
                "SELECT 1 --\u{1} '\n, GET_LOCK(\"a\", 0) -- '\n",
                "SELECT 1 --\u{7f} '\n, GET_LOCK(\"a\", 0) -- '\n",
                // In at least one of the two servers, stored functions can have such names.
                "SELECT t.123(1)",
                "SELECT REGEXP_LIKE(1)",
                "SELECT JSON_TABLE(1)",
                "SELECT AGAINST(1)",
                "SELECT LATERAL(1)",
                "SELECT 1 /*M!100100 , GET_LOCK('a', 0) */",
                "SELECT 1 /* without end",
                "SELECT 'without end",
                "SELECT 1; SET @a = 1",
                "SELECT a FROM t INTO @b",
                "SELECT NEXT VALUE FOR s",
                "INSERT INTO t VALUES (previous value for s)",
                "SELECT NEXTVAL(s)",
                "CREATE TEMPORARY TABLE t (a INT)",
                "LOCK TABLES t WRITE",
                "CALL p()",
                "DO 1",
                "WITH a AS (SELECT f(1)) SELECT * FROM a",
                // MariaDB can prepare `BEGIN`, but then `SET autocommit=1` does not end the transaction.
                "BEGIN",
                "COMMIT AND CHAIN",
                "USE other",
                "EXPLAIN SELECT f(1)",
                "",
            ],
        );
    }
}
