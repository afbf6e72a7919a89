//! A whole app, ready to serve: routes and components.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use wasmtime::Engine;

use crate::component::{Context, LoadError, LoadedComponent};
use crate::config::Config;
use crate::manifest::{ComponentManifest, Manifest, ManifestError};
use crate::metrics::Metrics;
use crate::outbound::AllowedHost;
use crate::router::Router;
use crate::{mysql, redis, variables};

/// Why an app can't be served.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The manifest itself.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A value that the manifest or the environment gives.
    #[error("{path}: {reason}")]
    Value {
        /// The manifest's path.
        path: PathBuf,
        /// Key, what is wrong, what to do.
        reason: String,
    },
    /// A component's file.
    #[error("{path}: {source}")]
    Component {
        /// The manifest's path.
        path: PathBuf,
        /// Which component, and why.
        source: LoadError,
    },
}

impl AppError {
    /// Whether a setting is wrong, rather than a file it names.
    pub fn is_setting(&self) -> bool {
        !matches!(self, Self::Component { .. })
    }
}

/// Everything that serving needs.
pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) components: BTreeMap<String, Arc<LoadedComponent>>,
}

/// An app whose settings are checked and whose components are not compiled yet.
pub(crate) struct Plan {
    manifest: Manifest,
    router: Router,
    contexts: Vec<Context>,
}

impl Plan {
    /// Reads the manifest and resolves every variable, before anything costly is done.
    ///
    /// # Errors
    /// The first thing found that this host can't serve.
    pub(crate) fn new(config: &Config, metrics: &Arc<Metrics>) -> Result<Self, AppError> {
        let manifest = Manifest::load(&config.app)?;
        let wrong = |reason| AppError::Value {
            path: manifest.path.clone(),
            reason,
        };
        let router = Router::new(&manifest.routes).map_err(wrong)?;
        let values = variables::app_values(&manifest).map_err(wrong)?;
        let contexts = manifest
            .components
            .iter()
            .map(|(id, entry)| context(id, entry, &values, config, metrics).map_err(wrong))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            router,
            contexts,
            manifest,
        })
    }

    /// The databases and caches that the components' variables name, each once, with a component that names it.
    pub(crate) fn backends(&self) -> BTreeMap<String, String> {
        let mut backends = BTreeMap::new();
        for context in &self.contexts {
            for value in context.variables.values() {
                if value.starts_with("mysql://") || value.starts_with("redis://") {
                    backends
                        .entry(value.clone())
                        .or_insert_with(|| context.id.clone());
                }
            }
        }
        backends
    }

    /// Compiles and links the components.
    ///
    /// # Errors
    /// The first component that can't be served.
    pub(crate) fn load(self, engine: &Engine) -> Result<App, AppError> {
        let mut components = BTreeMap::new();
        for context in self.contexts {
            let id = context.id.clone();
            let source = &self.manifest.components[&id].source;
            let component = LoadedComponent::load(engine, context, source).map_err(|source| {
                AppError::Component {
                    path: self.manifest.path.clone(),
                    source,
                }
            })?;
            tracing::info!(
                component = id,
                digest = component.digest,
                "Loaded component `{id}`"
            );
            components.insert(id, Arc::new(component));
        }
        Ok(App {
            router: self.router,
            components,
        })
    }
}

fn context(
    id: &str,
    entry: &ComponentManifest,
    values: &BTreeMap<String, String>,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<Context, String> {
    let variables: HashMap<String, String> = variables::component_values(id, entry, values)?;
    let allowed_hosts = entry
        .allowed_outbound_hosts
        .iter()
        .map(|template| AllowedHost::parse(&template.resolve(values)?))
        .collect::<Result<_, String>>()
        .map_err(|reason| format!("`component.{id}.allowed_outbound_hosts`: {reason}"))?;
    Ok(Context {
        id: id.to_owned(),
        variables,
        environment: entry.environment.clone(),
        allowed_hosts,
        limits: config.limits.clone(),
        mysql: mysql::Pools::new(id, config.mysql.clone(), metrics.clone()),
        redis: redis::Connections::new(config.redis.clone()),
        metrics: metrics.clone(),
        outage_logged: Mutex::new(None),
    })
}
