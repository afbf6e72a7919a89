//! What the app's variables are set to, and what a component sees of that through `spin:variables`.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::manifest::{ComponentManifest, Manifest};
use super::variables::Declaration;

/// The value of every app variable: the environment first, then the file of its name in `folder`, then `.env` beside the
/// manifest, then the default. Where a folder is named, a default is no secret: those in a manifest are for trying out.
///
/// # Errors
/// One line names the variable that has no value, and says how to set it.
pub(crate) fn app_values(
    manifest: &Manifest,
    folder: Option<&Path>,
) -> Result<BTreeMap<String, String>, String> {
    let sources = Sources {
        folder,
        dotenv: dotenv(&manifest.path.with_file_name(".env"))?,
    };
    let variables = manifest.variables.iter();
    variables
        .map(|(name, declaration)| {
            let value = match sources.value_of(name)? {
                Some(value) => value,
                None => sources
                    .default_of(name, declaration)
                    .map_err(|reason| format!("`variables.{name}`: {reason}"))?,
            };
            Ok((name.clone(), value))
        })
        .collect()
}

/// Where values are looked for besides the environment.
struct Sources<'a> {
    folder: Option<&'a Path>,
    dotenv: HashMap<String, String>,
}

impl Sources<'_> {
    fn value_of(&self, name: &str) -> Result<Option<String>, String> {
        let key = key(name);
        if let Ok(value) = std::env::var(&key) {
            return Ok(Some(value));
        }
        let in_folder = self
            .file_of(name)
            .map(|file| read_value(&file))
            .transpose()?;
        Ok(in_folder
            .flatten()
            .or_else(|| self.dotenv.get(&key).cloned()))
    }

    fn default_of(&self, name: &str, declared: &Declaration) -> Result<String, String> {
        let Some(default) = &declared.default else {
            let how = self.how_to_set(name);
            return Err(format!("is required and has no value; {how}"));
        };
        if declared.is_secret && self.folder.is_some() && default.literal() != Some("") {
            let how = self.how_to_set(name);
            return Err(format!("is a secret that nobody has set; {how}"));
        }
        let resolved = default.resolve(&BTreeMap::new());
        resolved.map_err(|_| "a default can't name other variables".to_owned())
    }

    fn how_to_set(&self, name: &str) -> String {
        let key = key(name);
        match self.file_of(name) {
            Some(file) => format!("write it to {} or set {key}", file.display()),
            None => format!("set {key}"),
        }
    }

    fn file_of(&self, name: &str) -> Option<PathBuf> {
        self.folder.map(|folder| folder.join(name))
    }
}

fn key(name: &str) -> String {
    format!("SPIN_VARIABLE_{}", name.to_uppercase())
}

/// What is in a file, but for the end of its line; nothing if there is no such file.
fn read_value(file: &Path) -> Result<Option<String>, String> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: can't be read: {error}", file.display())),
    }
}

fn dotenv(path: &Path) -> Result<HashMap<String, String>, String> {
    match dotenvy::from_path_iter(path) {
        Ok(entries) => entries
            .collect::<Result<_, _>>()
            .map_err(|_| format!("`{}`: a line is not KEY=value", path.display())),
        Err(dotenvy::Error::Io(error)) if error.kind() == ErrorKind::NotFound => Ok(HashMap::new()),
        Err(error) => Err(format!("`{}`: can't be read: {error}", path.display())),
    }
}

/// What one component sees, with all templates resolved.
///
/// # Errors
/// One line names the key and says what is wrong with it.
pub(crate) fn component_values(
    id: &str,
    manifest: &ComponentManifest,
    app: &BTreeMap<String, String>,
) -> Result<HashMap<String, String>, String> {
    manifest
        .variables
        .iter()
        .map(|(name, template)| {
            let value = template
                .resolve(app)
                .map_err(|reason| format!("`component.{id}.variables.{name}`: {reason}"))?;
            Ok((name.clone(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::variables::Template;

    fn declared(default: Option<&str>, is_secret: bool) -> Declaration {
        Declaration {
            default: default.map(|text| Template::parse(text).expect("a template")),
            is_secret,
        }
    }

    #[test]
    fn a_folder_s_files_are_values_and_a_default_is_no_secret_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("from_a_file"), "p/w\n").expect("writes");
        let sources = Sources {
            folder: Some(folder.path()),
            dotenv: HashMap::from([("SPIN_VARIABLE_FROM_DOTENV".to_owned(), "x".to_owned())]),
        };
        let value = |name| sources.value_of(name).expect("can be read");
        assert_eq!(value("from_a_file").as_deref(), Some("p/w"));
        assert_eq!(value("from_dotenv").as_deref(), Some("x"));
        assert_eq!(value("not_there"), None);

        let refused = sources.default_of("pw", &declared(Some("store"), true));
        let reason = refused.expect_err("everybody knows it");
        assert!(reason.contains("/pw or set SPIN_VARIABLE_PW"), "{reason}");
        for (default, is_secret) in [("", true), ("store", false)] {
            let found = sources.default_of("pw", &declared(Some(default), is_secret));
            assert_eq!(found.as_deref(), Ok(default));
        }
    }

    #[test]
    fn without_a_folder_defaults_will_do() {
        let sources = Sources {
            folder: None,
            dotenv: HashMap::new(),
        };
        let found = sources.default_of("pw", &declared(Some("store"), true));
        assert_eq!(found.as_deref(), Ok("store"));
        let missing = sources.default_of("pw", &declared(None, true));
        assert!(
            missing
                .expect_err("required")
                .contains("set SPIN_VARIABLE_PW")
        );
    }
}
