//! Knows the statements of XA transactions.

use super::tokens::tokens;

/// The words that follow `XA` in a statement.
const XA_COMMANDS: [&str; 7] = [
    "BEGIN", "COMMIT", "END", "PREPARE", "RECOVER", "ROLLBACK", "START",
];

/// Whether the statement is one of an XA transaction, or holds one, as the text of a procedure may.
pub(in crate::mysql) fn has_xa(statement: &str) -> bool {
    let bytes = statement.as_bytes();
    let is_a = |at: usize| matches!(bytes.get(at), Some(b'a' | b'A'));
    // Hardly any statement has these letters, and so hardly any is taken apart.
    if !memchr::memchr2_iter(b'x', b'X', bytes).any(|at| is_a(at + 1)) {
        return false;
    }
    let is_command = |word: &str| {
        XA_COMMANDS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(word))
    };
    if let Some(tokens) = tokens(statement) {
        let mut pairs = tokens.windows(2);
        return pairs.any(|pair| pair[0].is("XA") && is_command(pair[1].text));
    }
    // Where comments end is uncertain, so anything may stand between the two words.
    let words = statement.split(|c: char| !c.is_alphanumeric());
    let mut from_xa = words.skip_while(|word| !word.eq_ignore_ascii_case("XA"));
    from_xa.any(is_command)
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
            "BEGIN NOT ATOMIC XA START 'x'; XA END 'x'; XA PREPARE 'x'; END",
            "CREATE PROCEDURE p() XA ROLLBACK 'x'",
        ] {
            assert!(has_xa(statement), "{statement}");
        }
        for statement in [
            "SELECT xa, start FROM t",
            "SELECT `xa` start FROM t",
            "INSERT INTO exact VALUES ('XA START')",
            "SELECT '\\', xa FROM t",
            "",
        ] {
            assert!(!has_xa(statement), "{statement}");
        }
    }
}
