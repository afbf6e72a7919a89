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

/// Splits the statement into tokens. `None` if that is uncertain: it has a comment that servers execute, or a quote or
/// a comment without end.
pub(super) fn tokens(statement: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = statement;
    let mut after_space = false;
    while let Some(first) = rest.chars().next() {
        if let Some(length) = blank(rest)? {
            rest = &rest[length..];
            after_space = true;
            continue;
        }
        // Any character beyond ASCII may be part of a name.
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
        let (kind, length) = match first {
            '\'' | '"' | '`' => (Kind::Quoted, quoted(rest, first)?),
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                // A name may begin with digits.
                let digits = rest[..length].chars().all(|c| c.is_ascii_digit());
                (if digits { Kind::Number } else { Kind::Word }, length)
            }
            c => (Kind::Sign, c.len_utf8()),
        };
        let (text, after) = rest.split_at(length);
        tokens.push(Token {
            kind,
            text,
            after_space,
        });
        rest = after;
        after_space = false;
    }
    Some(tokens)
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

/// The length of a quoted text, quotes included. A doubled quote splits the text into two tokens, which does not
/// matter. Whether a backslash escapes the next character depends on settings, so a text with one is uncertain.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let end = text[1..].find(quote)? + 2;
    let is_certain = quote == '`' || !text[..end].contains('\\');
    is_certain.then_some(end)
}
