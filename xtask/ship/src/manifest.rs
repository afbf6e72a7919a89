//! The shipped `spin.toml`: it names the components at their place in the package, has no build commands, and no
//! default for what must be said where it is installed.

use anyhow::{Context, Result};

/// The variables without a default in each package. In the repository, passwords have one for `cargo xtask up`; in a
/// package it would hide that nobody has given the password.
pub(crate) const SECRETS: [&str; 1] = ["mysql_password"];

/// `text` without the defaults of these variables, so that an app does not start where one is missing.
///
/// # Errors
/// If the manifest declares no such variable on a line of its own, with a default.
pub(crate) fn without_defaults(text: &str, variables: &[impl AsRef<str>]) -> Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for name in variables {
        let name: &str = name.as_ref();
        let begin = format!("{name} = {{ default = \"");
        let declared = lines.iter_mut().find_map(|line| {
            let (_, rest) = line.strip_prefix(&begin)?.split_once('"')?;
            let required = format!("{name} = {{ required = true{rest}");
            Some((line, required))
        });
        let (line, required) =
            declared.with_context(|| format!("spin.toml gives no default to `{name}`"))?;
        *line = required;
    }
    Ok(lines.join("\n") + "\n")
}

/// `text` with the components' paths changed to `folder`.
pub(crate) fn with_components_in(text: &str, folder: &str) -> String {
    let mut shipped = String::new();
    let mut is_about_building = false;
    for line in text.lines() {
        if line.starts_with('[') {
            is_about_building = line.starts_with("[component.") && line.ends_with(".build]");
        }
        if is_about_building {
            continue;
        }
        match line.strip_prefix("source = ").and_then(file_name) {
            Some(name) => shipped.push_str(&format!("source = \"{folder}{name}\"")),
            None => shipped.push_str(line),
        }
        shipped.push('\n');
    }
    shipped.truncate(shipped.trim_end().len());
    shipped + "\n"
}

/// The last part of a path in quotes.
fn file_name(quoted: &str) -> Option<&str> {
    quoted.trim_matches('"').rsplit('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_has_no_default() -> Result<()> {
        let text = "[variables]\na = { default = \"x\", secret = true }\nb = { default = \"\" }\n";
        assert_eq!(
            without_defaults(text, &["a", "b"])?,
            "[variables]\na = { required = true, secret = true }\nb = { required = true }\n"
        );
        assert!(without_defaults(text, &["c"]).is_err());
        Ok(())
    }

    #[test]
    fn components_lie_elsewhere_and_nobody_builds_them() {
        let text = "[component.a]\nsource = \"target/x/a.wasm\"\n\n[component.a.build]\ncommand = \"cargo\"\n\n[component.b]\nsource = \"b.wasm\"\n\n[component.b.build]\ncommand = \"cargo\"\n";
        assert_eq!(
            with_components_in(text, "/lib/"),
            "[component.a]\nsource = \"/lib/a.wasm\"\n\n[component.b]\nsource = \"/lib/b.wasm\"\n"
        );
    }
}
