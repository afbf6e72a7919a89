//! Knows the statements of XA transactions, and those that could hide one in a string.

use super::tokens::tokens;

/// Told to a component that asks for an XA transaction. Once it is prepared, it outlives its session and keeps its
/// locks until somebody ends it, which the host could not see.
const XA: &str = "XA transactions are not served: they outlive their connection and keep their locks; write a column \
    of that name in backticks";

/// Told to a component that has the server read a statement from a string. None needs to: the host prepares all
/// statements.
const IN_STRINGS: &str = "statements in strings (EXECUTE IMMEDIATE, PREPARE) are not served: they could be of XA \
    transactions; write a column of that name in backticks";

/// What a refused statement has in it.
struct Form {
    first: &'static str,
    /// Letters of `first`, from a rare one on, so that they are found fast.
    letters: &'static str,
    /// How many words or signs after the first one of `next` comes.
    distance: usize,
    next: &'static [&'static str],
    reason: &'static str,
}

static REFUSED: [Form; 3] = [
    Form {
        first: "XA",
        letters: "XA",
        distance: 1,
        next: &[
            "BEGIN", "COMMIT", "END", "PREPARE", "RECOVER", "ROLLBACK", "START",
        ],
        reason: XA,
    },
    Form {
        first: "EXECUTE",
        letters: "XECUTE",
        distance: 1,
        next: &["IMMEDIATE"],
        reason: IN_STRINGS,
    },
    Form {
        first: "PREPARE",
        letters: "PREPARE",
        distance: 2,
        next: &["FROM"],
        reason: IN_STRINGS,
    },
];

/// Why the statement is refused, if it is: it is of an XA transaction or could be, or holds one that is, as the text of
/// a procedure may.
pub(in crate::mysql) fn refusal(statement: &str) -> Option<&'static str> {
    let mut forms = REFUSED.iter();
    // Hardly any statement has these letters, and so hardly any is taken apart.
    let form = forms.find(|form| has_letters(statement, form.letters) && form.is_in(statement));
    form.map(|form| form.reason)
}

/// Whether the statement has these letters, in upper or lower case.
fn has_letters(statement: &str, letters: &str) -> bool {
    let (bytes, letters) = (statement.as_bytes(), letters.as_bytes());
    let first = letters[0];
    memchr::memchr2_iter(first, first.to_ascii_lowercase(), bytes).any(|at| {
        let found = bytes.get(at..at + letters.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(letters))
    })
}

impl Form {
    fn is_in(&self, statement: &str) -> bool {
        let is_next = |word: &str| self.next.iter().any(|next| next.eq_ignore_ascii_case(word));
        if let Some(tokens) = tokens(statement) {
            let mut parts = tokens.windows(self.distance + 1);
            return parts.any(|part| part[0].is(self.first) && is_next(part[self.distance].text));
        }
        // Where comments end is uncertain, so anything may stand between the two words, and a version directly before
        // each.
        let words = statement
            .split(|c: char| !c.is_alphanumeric())
            .map(|word| word.trim_start_matches(|c: char| c.is_ascii_digit()));
        let mut from_first = words.skip_while(|word| !word.eq_ignore_ascii_case(self.first));
        from_first.any(is_next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xa_transactions_are_known() {
        for statement in [
            "XA START 'x'",
            " xa begin 'x'",
            "XA END 'x'",
            "XA/**/PREPARE/**/'x'",
            "/* c */ XA -- c\n COMMIT 'x'",
            "/*!XA START 'x'*/",
            "/*M!100000 XA */ /* c */ START 'x'",
            "/*!50000XA START 'x'*/",
            "XA/*!50000START*/ 'x'",
            "/*M!100000XA START 'x'*/",
            "BEGIN NOT ATOMIC XA START 'x'; XA END 'x'; XA PREPARE 'x'; END",
            "CREATE PROCEDURE p() XA ROLLBACK 'x'",
        ] {
            assert_eq!(refusal(statement), Some(XA), "{statement}");
        }
    }

    #[test]
    fn statements_in_strings_are_known() {
        for statement in [
            "EXECUTE IMMEDIATE 'SELECT 1'",
            "execute/**/immediate CONCAT('X', ?)",
            "/*!50000EXECUTE*/ IMMEDIATE @a",
            "PREPARE s FROM 'SELECT 1'",
            "prepare `s` from @a",
            "/*M!100000PREPARE s FROM @a*/",
            "CREATE PROCEDURE p() BEGIN PREPARE s FROM @a; EXECUTE s; END",
            "CREATE PROCEDURE p() BEGIN PREPARE `a``b` FROM @q; EXECUTE `a``b`; END",
        ] {
            assert_eq!(refusal(statement), Some(IN_STRINGS), "{statement}");
        }
    }

    #[test]
    fn other_statements_pass() {
        for statement in [
            "SELECT xa, start FROM t",
            "CASE WHEN a THEN 1 ELSE `xa` END",
            "SELECT prepare FROM t",
            "SELECT prepare, execute, immediate FROM t",
            "GRANT EXECUTE ON p TO u",
            "INSERT INTO t VALUES ('EXECUTE IMMEDIATE', 'PREPARE s FROM')",
            "SELECT `xa` start FROM t",
            "INSERT INTO exact VALUES ('XA START')",
            "SELECT '\\', xa FROM t",
            "",
        ] {
            assert_eq!(refusal(statement), None, "{statement}");
        }
    }
}
