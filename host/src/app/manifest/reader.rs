//! Makes a manifest of TOML text. Each error names its key and its line.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use store_server::document::{Document, explain, name};
use store_server::terminal::one_line;
use toml::{Table, Value};

use super::raw::{OutboundHost, RawComponent, RawManifest, RoutePattern, VariableName};
use super::{ComponentManifest, Manifest, ManifestError, Route};

impl Manifest {
    /// Reads and checks the app at `path`.
    ///
    /// # Errors
    /// The app has something that this host can't serve; the error names the first such thing.
    pub(crate) fn load(path: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path).map_err(|source| ManifestError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        read(path, &text)
    }
}

/// Reads the manifest at `path`, whose text is `text`.
///
/// # Errors
/// The app has something that this host can't serve; the error names the first such thing.
fn read(path: &Path, text: &str) -> Result<Manifest, ManifestError> {
    let syntax = |(line, reason)| ManifestError::Syntax {
        path: path.to_owned(),
        line,
        reason,
    };
    let document = Document::parse(text).map_err(syntax)?;
    let table = text.parse::<Table>();
    let table = table.map_err(|error| syntax((1, error.message().to_owned())))?;
    Reader { path, document }.manifest(table)
}

struct Reader<'a> {
    path: &'a Path,
    document: Document<'a>,
}

/// Keys of Spin that this host does not support, and what the error says about each. They may be empty.
const UNSUPPORTED: [(&str, &str); 8] = [
    ("files", "this host gives components no file system"),
    ("key_value_stores", "this host has no key-value stores"),
    ("sqlite_databases", "this host has no SQLite"),
    ("ai_models", "this host has no language models"),
    (
        "dependencies",
        "compose dependencies into the component first",
    ),
    (
        "dependencies_inherit_configuration",
        "compose dependencies into the component first",
    ),
    (
        "allowed_http_hosts",
        "a key of manifest version 1: use `allowed_outbound_hosts`",
    ),
    ("config", "a key of manifest version 1: use `variables`"),
];

/// Keys that do not change what is served: descriptions, and settings of `spin build` and other tools.
const IGNORED: [&str; 5] = [
    "description",
    "build",
    "targets",
    "exclude_files",
    "profile",
];

impl Reader<'_> {
    fn manifest(&self, mut table: Table) -> Result<Manifest, ManifestError> {
        self.check_version(table.remove("spin_manifest_version"))?;
        let RawManifest {
            variables,
            component: mut entries,
            trigger,
            ..
        } = self.read(&[], table)?;
        let Some(triggers) = trigger.into_values().next() else {
            let reason = "no route: write at least one [[trigger.http]]";
            return Err(self.error(&["trigger", "http"], reason));
        };
        let mut routes = Vec::new();
        let mut components = BTreeMap::new();
        for trigger in triggers {
            let RoutePattern::Public(pattern) = trigger.route else {
                continue;
            };
            let id = trigger.component;
            if !components.contains_key(&id) {
                let Some(entry) = entries.remove(&id) else {
                    let reason = format!("is missing; the route `{pattern}` names it");
                    return Err(self.error(&["component", &id], reason));
                };
                components.insert(id.clone(), self.component(&id, entry)?);
            }
            routes.push(Route {
                pattern,
                component: id,
            });
        }
        Ok(Manifest {
            path: self.path.to_owned(),
            variables: named(variables),
            routes,
            components,
        })
    }

    fn check_version(&self, version: Option<Value>) -> Result<(), ManifestError> {
        let reason = match version {
            Some(Value::Integer(2)) => return Ok(()),
            Some(other) => format!("is {other}; this host serves version 2"),
            None => "is missing; write `spin_manifest_version = 2`".into(),
        };
        Err(self.error(&["spin_manifest_version"], reason))
    }

    fn component(&self, id: &str, mut entry: Table) -> Result<ComponentManifest, ManifestError> {
        if !is_usual_id(id) {
            let reason = "has an id of other characters than ASCII letters, digits, `-` and `_`";
            return Err(self.error(&["component", id], reason));
        }
        for (name, reason) in UNSUPPORTED {
            if entry.remove(name).is_some_and(|value| !is_empty(&value)) {
                return Err(self.error(&["component", id, name], reason));
            }
        }
        for name in IGNORED {
            entry.remove(name);
        }
        let raw: RawComponent = self.read(&["component", id], entry)?;
        let (variables, own) = (named(raw.variables), raw.tool.own);
        let mut listed = own.variable_values.keys();
        if let Some(name) = listed.find(|name| !variables.contains_key(*name)) {
            let key = ["component", id, "tool", "store-host", "variable_values"];
            let reason = format!("the component has no variable `{name}`");
            return Err(self.error(&key, reason));
        }
        let hosts = raw.allowed_outbound_hosts.into_iter();
        let folder = self.path.parent().unwrap_or(Path::new(""));
        Ok(ComponentManifest {
            source: folder.join(raw.source),
            allowed_outbound_hosts: hosts.map(|OutboundHost(host)| host).collect(),
            variables,
            environment: raw.environment,
            probe: own.probe,
            redis_near_cache: own.redis_near_cache,
            needs_migrations: own.needs_migrations,
            limits: own.limits,
            variable_values: own.variable_values,
        })
    }

    /// Reads the table that the manifest has at `key`.
    fn read<T: DeserializeOwned>(&self, key: &[&str], table: Table) -> Result<T, ManifestError> {
        serde_path_to_error::deserialize(table).map_err(|error| {
            let within: Vec<String> = error.path().iter().map(step).collect();
            let key: Vec<&str> = key
                .iter()
                .copied()
                .chain(within.iter().map(String::as_str))
                .collect();
            self.error(&key, explain(&without_value(error.inner().message())))
        })
    }

    fn error(&self, key: &[&str], reason: impl Into<String>) -> ManifestError {
        let key: Vec<String> = key.iter().map(|&step| step.to_owned()).collect();
        ManifestError::Key {
            path: self.path.to_owned(),
            line: self.document.line_of(&key),
            key: name(&key),
            // The reason may quote text of the file, line breaks included.
            reason: one_line(&reason.into()),
        }
    }
}

fn step(segment: &Segment) -> String {
    match segment {
        Segment::Seq { index } => index.to_string(),
        Segment::Map { key } => key.clone(),
        Segment::Enum { variant } => variant.clone(),
        Segment::Unknown => "?".to_owned(),
    }
}

/// Whether an id may be part of paths: in the admin interface, and of the files in which swaps survive a restart.
/// Spin's ids are words of ASCII letters and digits with hyphens between them, so all of them are allowed.
fn is_usual_id(id: &str) -> bool {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !id.is_empty() && id.chars().all(is_usual)
}

/// Serde's message about a wrong type, without the value that it quotes: that may be a password.
fn without_value(reason: &str) -> String {
    match reason.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") => {
            let quoted = found.find(['"', '`']).unwrap_or(found.len());
            format!("{}, expected {expected}", found[..quoted].trim_end())
        }
        _ => reason.to_owned(),
    }
}

fn named<T>(variables: BTreeMap<VariableName, T>) -> BTreeMap<String, T> {
    let variables = variables.into_iter();
    variables
        .map(|(VariableName(name), value)| (name, value))
        .collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Table(table) => table.is_empty(),
        Value::Boolean(flag) => !flag,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
