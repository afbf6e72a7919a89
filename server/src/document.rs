//! A file of settings in TOML: finds the line of a key, so that an error can name it, and puts serde's messages into
//! plain words.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use crate::terminal::one_line;

/// The path of a key from the top of the file, step by step. An entry of an array is a step with its number.
pub type Path = Vec<String>;

/// A file's text and its syntax tree.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Document<'a> {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The text is not TOML. The error has the line, counted from 1, and the reason.
    pub fn parse(text: &'a str) -> Result<Self, (usize, String)> {
        let malformed = |error: Error| {
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            (line, one_line(error.message()))
        };
        let root = DeTable::parse(text).map_err(malformed)?;
        Ok(Self { text, root })
    }

    /// The line of a key, counted from 1. If there is no such key, the line of the innermost table around it, or else
    /// the first line.
    #[must_use]
    pub fn line_of(&self, path: &[String]) -> usize {
        let mut offset = 0;
        let mut value: Option<&DeValue<'_>> = None;
        for step in path {
            let Some((at, next)) = child(value, self.root.get_ref(), step) else {
                break;
            };
            offset = at;
            value = Some(next);
        }
        self.line_at(offset)
    }

    /// The path of the key whose name or value is at `span`.
    #[must_use]
    pub fn path_at(&self, span: &Range<usize>) -> Path {
        let mut found = Innermost::default();
        search_table(self.root.get_ref(), &mut Vec::new(), span, &mut found);
        found.path
    }

    /// The line, counted from 1, at `offset` bytes from the beginning.
    #[must_use]
    pub fn line_at(&self, offset: usize) -> usize {
        line_at(self.text, offset)
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// A key's path as people write it: `upstreams.store.servers[0].weight`.
#[must_use]
pub fn name(path: &[String]) -> String {
    let mut name = String::new();
    for step in path {
        if step.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() {
            name.push_str(&format!("[{step}]"));
        } else {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(step);
        }
    }
    name
}

/// Puts a message of serde into plain words, with a suggestion if a name is unknown.
#[must_use]
pub fn explain(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let word = quoted.next().unwrap_or_default();
    if message.starts_with("unknown field") {
        return format!("no such key{}", suggestion(word, quoted));
    }
    if message.starts_with("unknown variant") {
        return format!("no such value: `{word}`{}", suggestion(word, quoted));
    }
    one_line(message)
        .replace("expected usize", WHOLE_NUMBER)
        .replace("expected u16", WHOLE_NUMBER)
        .replace("expected u32", WHOLE_NUMBER)
        .replace("expected u64", WHOLE_NUMBER)
        .replace("expected f64", "expected a number")
}

const WHOLE_NUMBER: &str = "expected a whole number in range";

/// The text to append to an error about an unknown `word`: `; did you mean …?`, or all known words if none is similar.
#[must_use]
pub fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let nearest = known
        .iter()
        .map(|&name| (strsim::jaro_winkler(word, name), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match nearest {
        Some((_, name)) => format!("; did you mean `{name}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; there is {}", known.join(", ")),
    }
}

/// The value at `step` below `value` (or below the root, if `value` is `None`), and its offset in the text.
fn child<'t, 'a>(
    value: Option<&'t DeValue<'a>>,
    root: &'t DeTable<'a>,
    step: &str,
) -> Option<(usize, &'t DeValue<'a>)> {
    let table = match value {
        None => root,
        Some(DeValue::Table(table)) => table,
        Some(DeValue::Array(array)) => {
            let entry = array.get(step.parse::<usize>().ok()?)?;
            return Some((entry.span().start, entry.get_ref()));
        }
        Some(_) => return None,
    };
    table
        .iter()
        .find(|(key, _)| key.get_ref() == step)
        .map(|(key, value)| (key.span().start, value.get_ref()))
}

/// The narrowest key or value found so far.
#[derive(Default)]
struct Innermost {
    path: Path,
    width: Option<usize>,
}

fn search_table(table: &DeTable<'_>, path: &mut Path, span: &Range<usize>, found: &mut Innermost) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        consider(&key.span(), path, span, found);
        search_value(value, path, span, found);
        path.pop();
    }
}

fn search_value(
    value: &Spanned<DeValue<'_>>,
    path: &mut Path,
    span: &Range<usize>,
    found: &mut Innermost,
) {
    consider(&value.span(), path, span, found);
    match value.get_ref() {
        DeValue::Table(table) => search_table(table, path, span, found),
        DeValue::Array(array) => {
            for (number, entry) in array.iter().enumerate() {
                path.push(number.to_string());
                search_value(entry, path, span, found);
                path.pop();
            }
        }
        _ => {}
    }
}

fn consider(place: &Range<usize>, path: &Path, span: &Range<usize>, found: &mut Innermost) {
    let width = place.len();
    let inside = place.start <= span.start && span.end <= place.end;
    // A table and its only key may be equally wide. The key comes later, and is the right one.
    if inside && found.width.is_none_or(|narrowest| width <= narrowest) {
        found.path.clone_from(path);
        found.width = Some(width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
a = 1

[b.c]
d = { e = [
  1,
  2 ] }
[[f]]
[[f]]
g = 1
[\"h.i\"]
j = 1
";

    fn path(steps: &str) -> Path {
        steps.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn a_key_is_found_in_tables_lists_and_inline() {
        let document = Document::parse(TEXT).expect("TOML");
        for (key, expected) in [
            ("a", 1),
            ("b/c/d/e", 4),
            ("b/c/d/e/1", 6),
            ("f/1/g", 9),
            ("h.i/j", 11),
            ("b/c/missing", 3),
            ("f/1/missing", 8),
            ("f/7/g", 7),
            ("missing", 1),
        ] {
            assert_eq!(document.line_of(&path(key)), expected, "{key}");
        }
        let place = TEXT.find("g = 1").expect("it is there");
        assert_eq!(document.path_at(&(place..place + 1)), path("f/1/g"));
    }

    #[test]
    fn a_key_is_written_as_people_do() {
        assert_eq!(name(&path("f/1/g")), "f[1].g");
        assert_eq!(name(&[]), "");
    }

    #[test]
    fn what_is_no_toml_names_its_line() {
        let (line, reason) = Document::parse("a = 1\nb = = 2\n").expect_err("two signs");
        assert_eq!(line, 2);
        assert!(!reason.contains('\n'), "{reason}");
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_known_one() {
        let known = ["default", "required"];
        let text = "unknown field `defualt`, expected `default` or `required`";
        assert_eq!(explain(text), "no such key; did you mean `default`?");
        let all = "; there is default, required";
        assert_eq!(suggestion("x", known.into_iter()), all);
        assert_eq!(
            explain("invalid type: string \"x\", expected u16"),
            "invalid type: string \"x\", expected a whole number in range"
        );
    }
}
