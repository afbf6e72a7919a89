//! Where in the file a setting stands, so that a complaint can name its line.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A key from the top of the file down; entries of an array are steps by number.
pub(super) type Path = Vec<String>;

/// The file's text and its tree.
pub(super) struct Document<'a> {
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Document<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, toml::de::Error> {
        let root = DeTable::parse(text)?;
        Ok(Self { text, root })
    }

    /// The line of the setting, or of what it would stand in.
    pub(super) fn line_of(&self, path: &[String]) -> usize {
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

    /// The setting whose name or value is at `span`, and its line.
    pub(super) fn path_at(&self, span: &Range<usize>) -> Path {
        let mut found = Innermost::default();
        search_table(self.root.get_ref(), &mut Vec::new(), span, &mut found);
        found.path
    }

    pub(super) fn line_at(&self, offset: usize) -> usize {
        line_at(self.text, offset)
    }
}

/// Counted from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// `upstreams.store.servers[0].weight`
pub(super) fn name(path: &[String]) -> String {
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

/// What `step` leads to from `value`, or from the root, and where it begins.
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

/// The narrowest setting so far.
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
    // Of a table and its only key, which may be as wide, the key comes later and is meant.
    if inside && found.width.is_none_or(|narrowest| width <= narrowest) {
        found.path.clone_from(path);
        found.width = Some(width);
    }
}
