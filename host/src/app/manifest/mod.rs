//! The part of `spin.toml` (manifest version 2) that this host serves; anything else is an error that names its key.
//!
//! The format is Spin's: <https://spinframework.dev/v3/manifest-reference>.
//!
//! `raw` is the file's form for serde, with `tool` for the table that is ours; `reader` makes a [`Manifest`] of it, and
//! `probe` finds what a component is asked before it serves. Nothing here knows a variable's value, or opens any other
//! file.

mod probe;
mod raw;
mod reader;
mod tool;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::reader::read;
pub(crate) use self::tool::OwnLimits;
use crate::app::variables::{Declaration, Template};
use crate::instance::Probe;

/// Why an app can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file can't be read at all.
    #[error("{path}: can't be read: {source}; name the app's manifest with --app")]
    Unreadable {
        /// The manifest's path.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file isn't TOML.
    #[error("{path}:{line}: not valid TOML: {reason}")]
    Syntax {
        /// The manifest's path.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// A key is missing, has a wrong value, or asks for what this host doesn't offer.
    #[error("{path}:{line}: {}{reason}", in_quotes(.key))]
    Key {
        /// The manifest's path.
        path: PathBuf,
        /// Of the key, or of the innermost table around it that is there, counted from 1.
        line: usize,
        /// Dotted, as in TOML; empty for the file as a whole.
        key: String,
        /// What is wrong and what to do.
        reason: String,
    },
}

fn in_quotes(key: &str) -> String {
    match key {
        "" => String::new(),
        key => format!("`{key}`: "),
    }
}

/// A checked app.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// The file it came from.
    pub path: PathBuf,
    /// `[variables]`, by name.
    pub variables: BTreeMap<String, Declaration>,
    /// `[[trigger.http]]`, in file order.
    pub routes: Vec<Route>,
    /// `[component.X]`, by id; only those that a route names.
    pub components: BTreeMap<String, ComponentManifest>,
}

/// One HTTP trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// As written: `/orders/:id`, `/static/...`.
    pub pattern: String,
    /// Id of the component that serves it.
    pub component: String,
}

/// One component's entry.
#[derive(Debug)]
pub(crate) struct ComponentManifest {
    /// The `.wasm` file, absolute or relative to the process's working folder.
    pub source: PathBuf,
    /// Addresses it may connect to; parts may be templates, so they are parsed when variables are known.
    pub allowed_outbound_hosts: Vec<Template>,
    /// Its own variables, by name.
    pub variables: BTreeMap<String, Template>,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// What a new generation must answer; by default its first route.
    pub probe: Option<Probe>,
    /// What the Redis keys begin with whose values the host keeps in memory until Redis says that they changed.
    pub redis_near_cache: Vec<Template>,
    /// Whether its databases must have the tables that `store-host migrate` makes.
    pub needs_migrations: bool,
    /// Limits of its own.
    pub limits: OwnLimits,
    /// What its variables may be, of those that have few values.
    pub variable_values: BTreeMap<String, Vec<String>>,
}

impl Manifest {
    /// Reads and checks the app at `path`.
    ///
    /// # Errors
    /// The app has something that this host can't serve; the first such thing is named.
    pub(crate) fn load(path: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path).map_err(|source| ManifestError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        read(path, &text)
    }
}
