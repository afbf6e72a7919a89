//! What a trace shows of a statement: its operation and table, and its text without quoted strings, which may hold
//! personal data.

use std::time::Instant;

use store_server::trace::{Description, Kind, Span, Trace, Value};

/// The longest text, in bytes, that is shown. A longer one may be kept until it is described.
const LONGEST: usize = 2048;

/// Replaces a quoted string.
const MASK: &str = "'?'";

/// Where one of these is, a quote may be part of a comment or a name, or a string may end later than it seems. Then
/// nothing is shown after the first quote.
const UNCERTAIN: [&str; 5] = ["--", "#", "/*", "`", "\\"];

/// The first words that name an operation; any other statement is called `QUERY`.
const OPERATIONS: [&str; 11] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "SET", "COMMIT", "CALL", "SHOW",
    "EXPLAIN",
];

/// The span of a statement that is sent at the time `began`.
pub(super) fn begin(trace: &Trace, text: &str, began: Instant) -> Span {
    if !trace.is_on() {
        return Span::default();
    }
    let operation = operation(text);
    let mut span = trace.span_at(operation, Kind::Client, began);
    span.set("db.operation.name", operation);
    span.describe(text, describe);
    span
}

fn describe(text: &str) -> Description {
    let table = table(text).map(|table| Value::from(table.to_owned()));
    let mut attributes = vec![("db.query.text", Value::from(shown(text)))];
    attributes.extend(table.clone().map(|table| ("db.collection.name", table)));
    Description {
        target: table,
        attributes,
    }
}

fn operation(text: &str) -> &'static str {
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '(');
    let end = text.find(|c: char| !c.is_ascii_alphabetic());
    let first = &text[..end.unwrap_or(text.len())];
    let known = OPERATIONS.iter();
    let mut known = known.filter(|operation| operation.eq_ignore_ascii_case(first));
    known.next().unwrap_or(&"QUERY")
}

/// The first table that the text names.
fn table(text: &str) -> Option<&str> {
    let mut words = text.split_ascii_whitespace();
    let leads = |word: &str| {
        ["FROM", "INTO", "UPDATE"]
            .iter()
            .any(|lead| word.eq_ignore_ascii_case(lead))
    };
    words.find(|word| leads(word))?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_$.`".contains(c);
    let name = words.next()?;
    let name = &name[..name.find(|c| !is_name(c)).unwrap_or(name.len())];
    (!name.is_empty()).then_some(name)
}

/// The text with quoted strings masked, cut if it is longer than [`LONGEST`].
fn shown(text: &str) -> String {
    let is_certain = UNCERTAIN.iter().all(|mark| !text.contains(*mark));
    let mut shown = String::with_capacity(text.len().min(LONGEST));
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '"']) {
        if shown.len() > LONGEST {
            break;
        }
        shown.push_str(&rest[..at]);
        shown.push_str(MASK);
        rest = match rest[at + 1..].split_once(&rest[at..=at]) {
            Some((_, after)) if is_certain => after,
            Some(_) => "…",
            None => "",
        };
    }
    shown.push_str(rest);
    if shown.len() > LONGEST {
        shown.truncate(shown.floor_char_boundary(LONGEST));
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_named_by_what_it_does_and_to_what() {
        for (text, expected) in [
            (
                "SELECT a FROM orders WHERE id = ?",
                ("SELECT", Some("orders")),
            ),
            (
                "insert into order_items(a) values (?)",
                ("INSERT", Some("order_items")),
            ),
            ("UPDATE `stocks` SET a = 1", ("UPDATE", Some("`stocks`"))),
            ("(SELECT 1) UNION (SELECT 2)", ("SELECT", None)),
            ("SET autocommit = 0", ("SET", None)),
            ("COMMIT", ("COMMIT", None)),
            ("OPTIMIZE TABLE x", ("QUERY", None)),
            ("SELECT a FROM (SELECT 1) b", ("SELECT", None)),
            ("", ("QUERY", None)),
        ] {
            assert_eq!((operation(text), table(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_statement_is_described_by_its_table_and_its_text() {
        let Description { target, attributes } = describe("SELECT a FROM b WHERE c = 'd'");
        assert_eq!(target, Some("b".to_owned().into()));
        let text = "SELECT a FROM b WHERE c = '?'".to_owned();
        let expected = [
            ("db.query.text", Value::from(text)),
            ("db.collection.name", Value::from("b".to_owned())),
        ];
        assert_eq!(attributes, expected);
        assert_eq!(describe("COMMIT").target, None);
    }

    #[test]
    fn texts_in_quotes_are_nobody_s_business() {
        for (text, expected) in [
            ("SELECT ? LIMIT 10", "SELECT ? LIMIT 10"),
            ("SELECT 'a@b.c', \"d\" + 1", "SELECT '?', '?' + 1"),
            ("SELECT 'it''s é', a", "SELECT '?''?', a"),
            ("SELECT 'open", "SELECT '?'"),
            (r"SELECT '\", "SELECT '?'"),
            ("SELECT `a` -- b", "SELECT `a` -- b"),
            ("SELECT a -- don't\n, 'b'", "SELECT a -- don'?'…"),
            ("SELECT a # don't\n, 'b'", "SELECT a # don'?'…"),
            ("SELECT /* ' */ 'a'", "SELECT /* '?'…"),
            ("SELECT `it's`, 'a'", "SELECT `it'?'…"),
            (r"SELECT '\', 'a'", "SELECT '?'…"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        let text = format!("SELECT {}", "é".repeat(LONGEST));
        let shown = shown(&text);
        assert!(shown.len() <= LONGEST + '…'.len_utf8());
        assert!(shown.ends_with("é…"));
    }
}
