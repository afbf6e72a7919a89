//! App variables as `spin.toml` writes them: declarations, names, and the templates that use them. The values are in
//! `values`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One entry of `[variables]`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawDeclaration")]
pub(crate) struct Declaration {
    /// The default value; absent if the variable is required.
    pub default: Option<Template>,
    /// Whether the value is a secret. This host prints the value of no variable, so it only refuses an empty file of
    /// one.
    pub is_secret: bool,
}

/// The declaration as it is written in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { default = \"\" }")]
struct RawDeclaration {
    default: Option<Template>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    secret: bool,
}

impl TryFrom<RawDeclaration> for Declaration {
    type Error = &'static str;

    fn try_from(raw: RawDeclaration) -> Result<Self, &'static str> {
        match (raw.default, raw.required) {
            (Some(_), true) => Err("is `required` and has a `default`; keep one of them"),
            (None, false) => Err("needs a `default`, or `required = true`"),
            (default, _) => Ok(Self {
                default,
                is_secret: raw.secret,
            }),
        }
    }
}

/// Checks the name of a variable by Spin's rule: words of lower-case ASCII letters and digits with one underscore between
/// them, the first of which begins with a letter.
///
/// # Errors
/// The text says what is wrong with the name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_usual = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let reason = if name.is_empty() {
        "is empty".to_owned()
    } else if let Some(other) = name.chars().find(|c| !is_usual(*c)) {
        format!("has {other:?} in its name; use lower-case letters, digits and underscores only")
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "must begin with a lower-case letter".to_owned()
    } else if name.ends_with('_') {
        "must end with a lower-case letter or a digit".to_owned()
    } else if name.contains("__") {
        "has more than one underscore in a row in its name".to_owned()
    } else {
        return Ok(());
    };
    Err(reason)
}

/// Text that may contain variables as `{{ name }}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Says what is wrong with the template.
    pub(crate) fn parse(mut text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        while let Some((before, rest)) = text.split_once("{{") {
            let Some((name, after)) = rest.split_once("}}") else {
                return Err("has `{{` without `}}`".into());
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let name = name.trim();
            if check_name(name).is_err() {
                return Err(format!("`{{{{ {name} }}}}` is not the name of a variable"));
            }
            parts.push(Part::Variable(name.to_owned()));
            text = after;
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The text, if it contains no variable.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether the template is one variable and nothing else.
    pub(crate) fn is_one_variable(&self) -> bool {
        matches!(self.0.as_slice(), [Part::Variable(_)])
    }

    /// Replaces the variables by their values.
    ///
    /// # Errors
    /// The template names a variable that is not in `values`.
    pub(crate) fn resolve(&self, values: &BTreeMap<String, String>) -> Result<String, String> {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => Ok(text.as_str()),
                Part::Variable(name) => values.get(name).map(String::as_str).ok_or_else(|| {
                    format!("names the variable `{name}`, which [variables] does not declare")
                }),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_resolved() {
        let values = BTreeMap::from([
            ("user".to_owned(), "u".to_owned()),
            ("host".to_owned(), "h:1".to_owned()),
        ]);
        let resolve = |text: &str| {
            Template::parse(text)
                .expect("valid template")
                .resolve(&values)
        };
        assert_eq!(
            resolve("mysql://{{ user }}@{{host}}/x").as_deref(),
            Ok("mysql://u@h:1/x")
        );
        assert_eq!(resolve("plain").as_deref(), Ok("plain"));
        assert!(
            resolve("{{ missing }}")
                .expect_err("undeclared")
                .contains("`missing`")
        );
    }

    #[test]
    fn names_are_those_that_spin_takes() {
        for name in ["a", "a1b2", "a_1", "pg_address"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "PG_ADDRESS",
            "aX",
            "1bc",
            "_x",
            "x_",
            "a__b",
            "x.y",
            "x-y",
            "é",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn broken_templates_are_refused() {
        assert!(Template::parse("{{ user").is_err());
        assert!(Template::parse("{{ Not A Name }}").is_err());
    }
}
