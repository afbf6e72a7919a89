//! The part of `spin.toml` (manifest version 2) that this host serves; anything else is an error that names its key.
//!
//! The format is Spin's: <https://spinframework.dev/v3/manifest-reference>.
//!
//! `raw` is the file's form for serde, with `tool` for the table of this host; `reader` makes a [`Manifest`] of it, and
//! `probe` finds the request that a component must answer before it serves. Nothing here knows the value of a variable,
//! or opens any other file.

mod probe;
mod raw;
mod reader;
mod tool;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) use self::tool::OwnLimits;
use crate::app::variables::{Declaration, Template};
use crate::instance::Probe;

/// Why an app can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file can't be read.
    #[error("{path}: can't be read: {source}; name the app's manifest with --app")]
    Unreadable {
        /// The manifest's path.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not valid TOML.
    #[error("{path}:{line}: not valid TOML: {reason}")]
    Syntax {
        /// The manifest's path.
        path: PathBuf,
        /// The line of the fault, counted from 1.
        line: usize,
        /// The parser's message.
        reason: String,
    },
    /// A key is missing, has a wrong value, or asks for something that this host doesn't offer.
    #[error("{path}:{line}: {}{reason}", in_quotes(.key))]
    Key {
        /// The manifest's path.
        path: PathBuf,
        /// The line of the key, counted from 1; if the key is missing, that of the innermost table that should hold it.
        line: usize,
        /// The key, dotted as in TOML; empty if the fault is in the file as a whole.
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

/// The manifest of an app, checked.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// The path of the file.
    pub path: PathBuf,
    /// `[variables]`, by name.
    pub variables: BTreeMap<String, Declaration>,
    /// `[[trigger.http]]`, in file order.
    pub routes: Vec<Route>,
    /// `[component.X]`, by id. Holds only components that a route names.
    pub components: BTreeMap<String, ComponentManifest>,
}

/// One HTTP trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The pattern as written: `/orders/:id`, `/static/...`.
    pub pattern: String,
    /// The id of the component that serves it.
    pub component: String,
}

/// The manifest entry of one component.
#[derive(Debug)]
pub(crate) struct ComponentManifest {
    /// The `.wasm` file; a relative path counts from the working folder of the process.
    pub source: PathBuf,
    /// The addresses that the component may connect to. They may have variables in them, so they are parsed once these
    /// are known.
    pub allowed_outbound_hosts: Vec<Template>,
    /// The component's own variables, by name.
    pub variables: BTreeMap<String, Template>,
    /// The component's environment variables.
    pub environment: BTreeMap<String, String>,
    /// The request that a new generation must answer; if there is none, [`Manifest::probe_of`] chooses a route.
    pub probe: Option<Probe>,
    /// Prefixes of Redis keys. The host keeps the values of these keys in memory until Redis says that they changed.
    pub redis_near_cache: Vec<Template>,
    /// Whether the component's databases must have the tables that `store-host migrate` makes.
    pub needs_migrations: bool,
    /// The limits that the component sets for itself.
    pub limits: OwnLimits,
    /// The allowed values of those of its variables that have few.
    pub variable_values: BTreeMap<String, Vec<String>>,
}
