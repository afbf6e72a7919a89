//! Splits a statement into tokens.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    /// A string or a name in quotes. Its content does not matter.
    Quoted,
    Sign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// Whether a space or a comment precedes it.
    pub(super) after_space: bool,
}

impl Token<'_> {
    pub(super) fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }
}

/// The most tokens that a statement is taken apart into. They don't count against the instance, and may take many times
/// the memory of their text.
const MOST: usize = 100_000;

/// Splits the statement into tokens. `None` if that is uncertain: it has a comment that servers execute, or a quote or
/// a comment without end, or too many tokens.
pub(super) fn tokens(statement: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = statement;
    while let Some(token) = next_token(&mut rest)? {
        if tokens.len() == MOST {
            return None;
        }
        tokens.push(token);
    }
    Some(tokens)
}

/// Takes the next token from the start of `rest`: `Some(None)` if there is no further one, `None` if it is uncertain.
pub(super) fn next_token<'a>(rest: &mut &'a str) -> Option<Option<Token<'a>>> {
    let mut text = *rest;
    let mut after_space = false;
    while let Some(length) = blank(text)? {
        text = &text[length..];
        after_space = true;
    }
    let Some(first) = text.chars().next() else {
        return Some(None);
    };
    // Any character beyond ASCII may be part of a name.
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
    let (kind, length) = match first {
        '\'' | '"' | '`' => (Kind::Quoted, quoted(text, first)?),
        c if is_word(c) => {
            let length = text.find(|c| !is_word(c)).unwrap_or(text.len());
            // A name may begin with digits.
            let digits = text[..length].chars().all(|c| c.is_ascii_digit());
            (if digits { Kind::Number } else { Kind::Word }, length)
        }
        c => (Kind::Sign, c.len_utf8()),
    };
    let (text, after) = text.split_at(length);
    *rest = after;
    Some(Some(Token {
        kind,
        text,
        after_space,
    }))
}

/// The length of the space or comment at the start: `Some(None)` if there is neither, `None` if it is uncertain.
fn blank(text: &str) -> Option<Option<usize>> {
    let is_space = |c| matches!(c, ' ' | '\t'..='\r');
    let spaces = text.len() - text.trim_start_matches(is_space).len();
    if spaces > 0 {
        return Some(Some(spaces));
    }
    let begins_with_control = |after: &str| after.starts_with(|c: char| c.is_ascii_control());
    if text
        .strip_prefix("--")
        .is_some_and(|after| begins_with_control(after) && !after.starts_with(is_space))
    {
        // Servers read this as a comment, so quotes in it would be misread here.
        return None;
    }
    let is_line = text.starts_with('#')
        || text
            .strip_prefix("--")
            .is_some_and(|after| after.is_empty() || after.starts_with(is_space));
    if is_line {
        return Some(Some(text.find('\n').unwrap_or(text.len())));
    }
    match text.strip_prefix("/*") {
        // `/*!` and MariaDB's `/*M!` hold statements that servers execute.
        Some(comment) if comment.starts_with('!') || comment.starts_with("M!") => None,
        Some(comment) => comment.find("*/").map(|end| Some(end + 4)),
        None => Some(None),
    }
}

/// The length of a quoted text, quotes included. A doubled quote does not end it. Whether a backslash escapes the next
/// character depends on settings, so a text with one is uncertain.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut end = 1;
    loop {
        end += text[end..].find(quote)? + 1;
        if !text[end..].starts_with(quote) {
            break;
        }
        end += 1;
    }
    let is_certain = quote == '`' || !text[..end].contains('\\');
    is_certain.then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubled_quote_does_not_end_a_text() {
        let texts = |statement| -> Option<Vec<_>> {
            Some(tokens(statement)?.iter().map(|token| token.text).collect())
        };
        assert_eq!(
            texts(r#"a`b``c`'' 'it''s' "d""""#),
            Some(vec!["a", "`b``c`", "''", "'it''s'", r#""d""""#])
        );
        assert_eq!(texts("`a``"), None);
    }

    #[test]
    fn too_many_tokens_are_uncertain() {
        let most = "?,".repeat(MOST / 2);
        assert_eq!(tokens(&most).map(|tokens| tokens.len()), Some(MOST));
        assert_eq!(tokens(&(most + "?")), None);
    }
}
