//! The values of app variables. A value comes from a file, from `SPIN_VARIABLE_…`, from `.env` or from a default, and
//! components read it through `spin:variables`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::manifest::{ComponentManifest, Manifest};
use super::variables::Template;
use crate::config::VariableFile;
use crate::outbound::Kind;

/// Characters with a meaning in an address of MySQL or Redis. A value that is put into an address must have them
/// percent-encoded.
const MEANT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'?')
    .add(b'@')
    .add(b'\\');

/// The values of all app variables. Some are secrets, so this type has no `Debug`.
#[derive(Default)]
pub(crate) struct Values {
    plain: BTreeMap<String, String>,
    /// The values as they are put into an address. A value from a file is percent-encoded here, because the file holds
    /// a password in plain form and not as a URL needs it.
    in_addresses: BTreeMap<String, String>,
}

impl Values {
    /// Reads the values of a manifest's variables. A file takes precedence over the environment, that over `.env`
    /// beside the manifest, and that over the default.
    ///
    /// # Errors
    /// Names the variable without a value or the file that can't be read, and says what to do.
    pub(crate) fn read(manifest: &Manifest, files: &[VariableFile]) -> Result<Self, String> {
        let dotenv = dotenv(&manifest.path.with_file_name(".env"))?;
        let mut values = Self::default();
        for (name, declaration) in &manifest.variables {
            if files.iter().any(|file| file.name == *name) {
                continue;
            }
            let key = format!("SPIN_VARIABLE_{}", name.to_uppercase());
            let set = std::env::var(&key).ok();
            let set = set.or_else(|| dotenv.get(&key).cloned());
            let value = match (set, &declaration.default) {
                (Some(value), _) => value,
                (None, Some(default)) => default.resolve(&BTreeMap::new()).map_err(|_| {
                    format!("`variables.{name}`: a default can't name other variables")
                })?,
                (None, None) => {
                    return Err(format!(
                        "`variables.{name}`: is required and has no value; set {key}"
                    ));
                }
            };
            values.in_addresses.insert(name.clone(), value.clone());
            values.plain.insert(name.clone(), value);
        }
        for file in files {
            let value = value_in(file, manifest)?;
            let encoded = utf8_percent_encode(&value, MEANT).to_string();
            values.in_addresses.insert(file.name.clone(), encoded);
            values.plain.insert(file.name.clone(), value);
        }
        Ok(values)
    }

    /// Puts values into a manifest entry other than a component's variable.
    ///
    /// # Errors
    /// The template names a variable that is not declared.
    pub(crate) fn resolve(&self, template: &Template) -> Result<String, String> {
        template.resolve(&self.plain)
    }

    /// The variables of one component, with all templates resolved.
    ///
    /// # Errors
    /// Names the key and says what is wrong with it.
    pub(crate) fn of_component(
        &self,
        id: &str,
        manifest: &ComponentManifest,
    ) -> Result<HashMap<String, String>, String> {
        let variables = manifest.variables.iter().map(|(name, template)| {
            let value = self
                .resolve_variable(template)
                .map_err(|reason| format!("`component.{id}.variables.{name}`: {reason}"))?;
            Ok((name.clone(), value))
        });
        variables.collect()
    }

    fn resolve_variable(&self, template: &Template) -> Result<String, String> {
        let value = template.resolve(&self.plain)?;
        // If the whole address comes from one variable, its author has encoded it already.
        match Kind::of(&value) {
            Some(_) if !template.is_one_variable() => template.resolve(&self.in_addresses),
            _ => Ok(value),
        }
    }
}

fn value_in(named: &VariableFile, manifest: &Manifest) -> Result<String, String> {
    let VariableFile { name, file } = named;
    let wrong = |reason: &str| format!("--variable-file {name}={}: {reason}", file.display());
    let Some(declaration) = manifest.variables.get(name) else {
        return Err(wrong(&format!("[variables] declares no `{name}`")));
    };
    let text =
        fs::read_to_string(file).map_err(|error| wrong(&format!("can't be read: {error}")))?;
    let value = value_of(&text).map_err(wrong)?;
    if declaration.is_secret && value.is_empty() {
        return Err(wrong("is empty: write the secret into it"));
    }
    Ok(value.to_owned())
}

/// The text of a file, without its final line break, which editors and `echo` add.
fn value_of(text: &str) -> Result<&str, &'static str> {
    let value = text.strip_suffix('\n').unwrap_or(text);
    let value = value.strip_suffix('\r').unwrap_or(value);
    match value.contains(['\n', '\0']) {
        true => Err("a value is one line"),
        false => Ok(value),
    }
}

fn dotenv(path: &Path) -> Result<HashMap<String, String>, String> {
    match dotenvy::from_path_iter(path) {
        Ok(entries) => entries
            .collect::<Result<_, _>>()
            .map_err(|_| format!("`{}`: a line is not KEY=value", path.display())),
        Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(HashMap::new())
        }
        Err(error) => Err(format!("`{}`: can't be read: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &str, plain: &str) -> Values {
        let encoded = utf8_percent_encode(plain, MEANT).to_string();
        Values {
            plain: BTreeMap::from([(name.to_owned(), plain.to_owned())]),
            in_addresses: BTreeMap::from([(name.to_owned(), encoded)]),
        }
    }

    #[test]
    fn what_a_file_holds_is_encoded_in_an_address_and_nowhere_else() {
        let values = values("password", "a/b@c%d:e");
        let resolve = |text: &str| {
            let template = Template::parse(text).expect("a template");
            values.resolve_variable(&template).expect("declared")
        };
        assert_eq!(
            resolve("mysql://u:{{ password }}@db/x"),
            "mysql://u:a%2Fb%40c%25d:e@db/x"
        );
        assert_eq!(resolve("key-{{ password }}"), "key-a/b@c%d:e");
    }

    #[test]
    fn a_whole_address_in_a_file_is_left_as_it_is() {
        let values = values("url", "redis://:p%40ss@[::1]:6379/0");
        let template = Template::parse("{{ url }}").expect("a template");
        let resolved = values.resolve_variable(&template);
        assert_eq!(resolved.as_deref(), Ok("redis://:p%40ss@[::1]:6379/0"));
    }
}
