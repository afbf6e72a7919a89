//! The shipped `spin.toml`: it names the components at their place in the package, and has no build commands.

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
    fn components_lie_elsewhere_and_nobody_builds_them() {
        let text = "[component.a]\nsource = \"target/x/a.wasm\"\n\n[component.a.build]\ncommand = \"cargo\"\n\n[component.b]\nsource = \"b.wasm\"\n\n[component.b.build]\ncommand = \"cargo\"\n";
        assert_eq!(
            with_components_in(text, "/lib/"),
            "[component.a]\nsource = \"/lib/a.wasm\"\n\n[component.b]\nsource = \"/lib/b.wasm\"\n"
        );
    }
}
