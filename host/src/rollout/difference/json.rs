//! Finds the place where two JSON values differ.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Number, Value};

/// The member of a problem (RFC 9457) that identifies the request.
const INSTANCE: &str = "instance";

/// The depth below which the place of a difference is not refined. Readable answers are not that deep.
const DEEPEST: usize = 32;

/// The longest member name, in bytes, that is shown.
const LONGEST_NAME: usize = 32;

/// An object with more members than this is taken for a table, whose member names are data.
const MOST_NAMES: usize = 32;

/// The path to the first difference, beginning at the outermost value; `None` if the values are the same.
pub(super) fn place(old: &Value, new: &Value, is_problem: bool) -> Option<String> {
    let mut path = String::new();
    differ(old, new, &mut path, is_problem).then_some(path)
}

/// Whether two values differ. If so, `path` leads to the difference, beginning at the outermost value.
fn differ(old: &Value, new: &Value, path: &mut String, is_problem: bool) -> bool {
    let depth = path.matches('/').count();
    if depth > DEEPEST {
        return old != new;
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            let is_table = names.len() > MOST_NAMES;
            names.into_iter().any(|name| {
                let is_ignored = is_problem && depth == 0 && name == INSTANCE;
                !is_ignored
                    && inside(
                        path,
                        if is_table { "*" } else { shown(name) },
                        |path| match (old.get(name), new.get(name)) {
                            (Some(old), Some(new)) => differ(old, new, path, is_problem),
                            _ => true,
                        },
                    )
            })
        }
        (Value::Array(old), Value::Array(new)) => {
            old.len() != new.len()
                || old.iter().zip(new).enumerate().any(|(index, (old, new))| {
                    inside(path, &index.to_string(), |path| {
                        differ(old, new, path, is_problem)
                    })
                })
        }
        (Value::Number(old), Value::Number(new)) => {
            let is_whole = |number: &Number| number.is_i64() || number.is_u64();
            // Two whole numbers are compared exactly, which floating point numbers could not do.
            let are_same = !(is_whole(old) && is_whole(new)) && old.as_f64() == new.as_f64();
            old != new && !are_same
        }
        _ => old != new,
    }
}

/// Compares one level down. Removes `name` from the path again if nothing differs there.
fn inside(path: &mut String, name: &str, differs: impl FnOnce(&mut String) -> bool) -> bool {
    let length = path.len();
    // Writing to a string can't fail.
    _ = write!(path, "/{name}");
    let differs = differs(path);
    if !differs {
        path.truncate(length);
    }
    differs
}

/// The name of a member, if a programmer may have chosen it; otherwise `*`. An e-mail address, for example, is not
/// shown. A name with only letters could still come from a client.
fn shown(name: &str) -> &str {
    let is_word = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    if name.len() <= LONGEST_NAME && !name.is_empty() && name.bytes().all(is_word) {
        name
    } else {
        "*"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(old: &str, new: &str) -> Option<String> {
        let value = |text: &str| serde_json::from_str(text).expect("JSON");
        place(&value(old), &value(new), false)
    }

    #[test]
    fn json_is_compared_as_values() {
        assert_eq!(
            place_of(r#"{"a":1,"b":[2.0]}"#, r#"{ "b": [2], "a": 1 }"#),
            None
        );
        for (old, new, place) in [
            (r#"{"a":1}"#, r#"{"a":2}"#, "/a"),
            (
                r#"{"a":[{"b":1},{"b":2}]}"#,
                r#"{"a":[{"b":1},{"b":3}]}"#,
                "/a/1/b",
            ),
            (r#"{"a":[1]}"#, r#"{"a":[1,2]}"#, "/a"),
            (r#"{"a":null}"#, "{}", "/a"),
            ("1", "\"1\"", ""),
            (r#"{"ada@example.com":1}"#, r#"{"ada@example.com":2}"#, "/*"),
            ("9007199254740993", "9007199254740992", ""),
            ("9007199254740993", "-1", ""),
        ] {
            assert_eq!(place_of(old, new).as_deref(), Some(place));
        }
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(100), "]".repeat(100));
        let (old, new) = (deep("1"), deep("2"));
        assert!(place_of(&old, &new).is_some());
    }

    #[test]
    fn the_names_of_a_table_are_data() {
        let names = ('a'..='z').flat_map(|one| ('a'..='b').map(move |two| format!("{one}{two}")));
        let table = |value: u32| {
            let members: Vec<String> = names
                .clone()
                .map(|name| format!("\"{name}\":{value}"))
                .collect();
            format!("{{\"sums\":{{{}}}}}", members.join(","))
        };
        assert_eq!(place_of(&table(1), &table(2)).as_deref(), Some("/sums/*"));
    }
}
