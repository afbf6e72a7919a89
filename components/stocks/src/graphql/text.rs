//! Checks the text of a query before the GraphQL library parses it: the parser recurses as deeply as the text nests,
//! and its errors repeat names.

use async_graphql::ServerError;

use super::refusal;

/// The longest query, in bytes. The full introspection query has two thousand.
const MAX_BYTES: usize = 64 * 1024;

/// The most names, values and signs. The full introspection query has three hundred. The parser takes some microseconds
/// for each, so a query that is refused only after parsing costs other requests as much as one that is answered.
pub(super) const MAX_TOKENS: usize = 4000;

/// The deepest nesting of brackets. The full introspection query has thirteen levels.
const MAX_NESTING: usize = 32;

/// The longest name, in bytes. An error contains a few names, and a query may have as many errors as fields.
pub(super) const MAX_NAME_BYTES: usize = 128;

/// An upper bound for the names, values and signs of a query that has passed the check.
pub(super) fn most_tokens(query: &str) -> usize {
    query.len().min(MAX_TOKENS)
}

/// Checks the query's text.
///
/// # Errors
/// If the query is too long, has too many tokens, nests too deeply or has too long a name.
pub(super) fn check(query: &str) -> Result<(), ServerError> {
    if query.len() > MAX_BYTES {
        return Err(refusal(format!(
            "the query must have at most {MAX_BYTES} bytes"
        )));
    }
    let (mut nesting, mut tokens) = (0_usize, 0);
    let mut rest = query.as_bytes();
    while let [first, ..] = rest {
        match first {
            b'{' | b'(' | b'[' => nesting += 1,
            b'}' | b')' | b']' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        if nesting > MAX_NESTING {
            return Err(refusal(format!(
                "the query must nest at most {MAX_NESTING} deep"
            )));
        }
        if !is_ignored(*first) {
            tokens += 1;
        }
        if tokens > MAX_TOKENS {
            return Err(refusal(format!(
                "the query must have at most {MAX_TOKENS} names, values and signs"
            )));
        }
        let token = token_length(rest);
        if is_name(*first) && token > MAX_NAME_BYTES {
            return Err(refusal(format!(
                "a name in the query must have at most {MAX_NAME_BYTES} bytes"
            )));
        }
        rest = &rest[token..];
    }
    Ok(())
}

/// The length of the token at the start of the text: a comment, a string, a name, or one other byte. Brackets in
/// comments and strings must not count; otherwise a deep query could be made to look flat.
fn token_length(text: &[u8]) -> usize {
    match text {
        [b'#', ..] => length_while(text, |byte| !matches!(byte, b'\n' | b'\r')),
        [b'"', b'"', b'"', ..] => block_string_length(text).unwrap_or(2),
        [b'"', ..] => string_length(text).unwrap_or(1),
        [first, ..] if is_name(*first) => length_while(text, is_name),
        _ => 1,
    }
}

/// The length of the string at the start of the text, or `None` if it does not end on its line.
fn string_length(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\n' | b'\r' => return None,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The length of the block string at the start of the text, or `None` if it does not end.
fn block_string_length(text: &[u8]) -> Option<usize> {
    let mut at = 3;
    loop {
        let rest = text.get(at..)?;
        if rest.starts_with(b"\"\"\"") {
            return Some(at + 3);
        }
        at += if rest.starts_with(b"\\\"\"\"") { 4 } else { 1 };
        if rest.is_empty() {
            return None;
        }
    }
}

/// Whether the token that starts with this byte only separates others: white space, a comma, or a comment.
fn is_ignored(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b'#')
}

fn length_while(text: &[u8], holds: impl Fn(u8) -> bool) -> usize {
    let end = text.iter().position(|byte| !holds(*byte));
    end.unwrap_or(text.len())
}

fn is_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_may_nest_so_deep() {
        let nested = |depth| "{a ".repeat(depth) + &"}".repeat(depth);
        assert_eq!(check(&nested(MAX_NESTING)), Ok(()));
        assert!(check(&nested(MAX_NESTING + 1)).is_err());
        assert!(check(&("{a(b:".to_owned() + &"[".repeat(20_000))).is_err());
    }

    #[test]
    fn brackets_in_comments_and_strings_do_not_count() {
        for flat in [
            "{a(b: \"{{{{\") #}}}\n}",
            "{a(b: \"\"\"{{ \\\"\"\" {{ \" \"\"\")}",
            "{a(b: \"\\\"{{{\")}",
            "{a(b: \"\")}",
        ] {
            assert_eq!(check(&flat.repeat(20)), Ok(()), "{flat}");
        }
        for deep in [
            "{a#}\n",
            "{a#}\r",
            "{a(b:\"}\")",
            "{a(b:\"\"\"}\"\"\")",
            "{a(b:\"\\\"}\")",
            "{a(b:\"\")#}\n",
        ] {
            assert!(check(&deep.repeat(40)).is_err(), "{deep}");
        }
    }

    #[test]
    fn strings_that_do_not_end_hide_nothing() {
        let deep = "{a".repeat(40);
        for start in ["\"", "\"\"\"", "\"\\", "\"\n", "\"\"\"\\\"\"\""] {
            assert!(check(&format!("{start}{deep}")).is_err(), "{start:?}");
        }
    }

    #[test]
    fn parts_are_counted_and_what_divides_them_is_not() {
        let names = |count| "a ,\n#}\n".repeat(count);
        assert_eq!(check(&names(MAX_TOKENS)), Ok(()));
        assert!(check(&names(MAX_TOKENS + 1)).is_err());
        assert_eq!(check(&"a\"b c\"".repeat(MAX_TOKENS / 2)), Ok(()));
        assert!(check(&"a\"b c\"".repeat(MAX_TOKENS / 2 + 1)).is_err());
        assert!(check(&"[]".repeat(MAX_TOKENS / 2 + 1)).is_err());
    }

    #[test]
    fn a_long_query_or_name_is_refused() {
        assert!(check(&" ".repeat(MAX_BYTES + 1)).is_err());
        assert_eq!(check(&" ".repeat(MAX_BYTES)), Ok(()));
        assert!(check(&format!("{{{}}}", "x".repeat(MAX_NAME_BYTES + 1))).is_err());
        assert_eq!(
            check(&format!("{{{}}}", "x".repeat(MAX_NAME_BYTES))),
            Ok(())
        );
    }
}
