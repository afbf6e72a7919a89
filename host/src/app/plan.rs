//! A plan: the manifest of an app and the settings of its components, read and checked before the app serves.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use store_server::io_fault;
use store_server::trace::Tracing;
use tokio::sync::Semaphore;

use super::key_prefix;
use super::manifest::{ComponentManifest, Manifest, ManifestError};
use super::router::Router;
use super::values::Values;
use crate::config::{Config, Limits};
use crate::instance::{Context, LogLimit, Probe};
use crate::metrics::Metrics;
use crate::mysql::WriterRecords;
use crate::outbound::{AllowedHost, Backend, Kind, LogThrottle};
use crate::{mysql, redis};

/// Why an app can't be served.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A value in the manifest or the environment is wrong.
    #[error("{path}: {reason}")]
    Value {
        /// The manifest's path.
        path: PathBuf,
        /// The key, what is wrong, and what to do.
        reason: String,
    },
    /// A flag has a wrong value.
    #[error("{0}")]
    Setting(String),
    /// A component's file can't be served.
    #[error("{path}: {source}")]
    Component {
        /// The manifest's path.
        path: PathBuf,
        /// Names the component and says why.
        source: LoadError,
    },
}

impl AppError {
    /// Whether another start may succeed though nobody changes anything.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Manifest(ManifestError::Unreadable { source, .. }) => !io_fault::stands(source),
            Self::Component { source, .. } => source.fault.may_pass(),
            _ => false,
        }
    }
}

/// Why a component's file can't be served.
#[derive(Debug, thiserror::Error)]
#[error("`component.{id}.source`: {path}: {fault}")]
pub struct LoadError {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    pub(crate) fault: LoadFault,
}

/// What is wrong with a component's file, or with the host that loads it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadFault {
    #[error("can't be read: {0}; build the component first")]
    Unreadable(std::io::Error),
    /// What is in the file can't be served.
    #[error("{0}")]
    Unfit(String),
    /// The host could not do what it had to, for example for want of memory.
    #[error("{0}")]
    Host(String),
}

impl LoadFault {
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreadable(error) => !io_fault::stands(error),
            Self::Unfit(_) => false,
            Self::Host(_) => true,
        }
    }
}

impl From<String> for LoadFault {
    fn from(reason: String) -> Self {
        Self::Unfit(reason)
    }
}

/// An app whose settings are checked and whose components are not loaded yet.
pub(crate) struct Plan {
    pub(crate) manifest: Manifest,
    pub(crate) router: Arc<Router>,
    pub(crate) contexts: BTreeMap<String, Arc<Context>>,
    pub(crate) servers: Servers,
}

/// How to reach the databases and caches of all components.
pub(crate) struct Servers {
    pub(crate) mysql: Arc<mysql::Servers>,
    pub(crate) redis: redis::LinkSettings,
}

impl Servers {
    /// Reads the files that the settings name, such as certificates.
    fn new(
        config: &Config,
        metrics: &Arc<Metrics>,
        writers: &Arc<WriterRecords>,
    ) -> Result<Self, String> {
        let memory = config.limits.memory_limit_bytes();
        let mysql = mysql::Servers::new(&config.mysql, metrics.clone(), writers.clone())?;
        Ok(Self {
            mysql: Arc::new(mysql),
            redis: redis::LinkSettings::new(&config.redis, memory)?,
        })
    }
}

impl Plan {
    /// Reads the manifest and resolves all variables. This is cheap, so mistakes are found before components are
    /// compiled.
    ///
    /// # Errors
    /// The app has something that this host can't serve; the error names the first such thing.
    pub(crate) fn new(
        config: &Config,
        metrics: &Arc<Metrics>,
        tracing: &Tracing,
        writers: &Arc<WriterRecords>,
    ) -> Result<Self, AppError> {
        let manifest = Manifest::load(&config.app)?;
        let wrong = |reason| AppError::Value {
            path: manifest.path.clone(),
            reason,
        };
        let router = Router::new(&manifest.routes, &metrics.requests).map_err(wrong)?;
        let values = Values::read(&manifest, &config.variable_file).map_err(wrong)?;
        let servers = Servers::new(config, metrics, writers).map_err(AppError::Setting)?;
        let parts = Parts {
            values: &values,
            servers: &servers,
            config,
            metrics,
            tracing,
        };
        let contexts = manifest
            .components
            .iter()
            .map(|(id, entry)| {
                let probe = manifest.probe_of(id, entry);
                let context = parts.context(id, entry, probe).map_err(wrong)?;
                Ok((id.clone(), Arc::new(context)))
            })
            .collect::<Result<_, AppError>>()?;
        let plan = Self {
            router: Arc::new(router),
            contexts,
            manifest,
            servers,
        };
        let named = plan.databases();
        plan.servers
            .mysql
            .check_members(&named)
            .map_err(AppError::Setting)?;
        Ok(plan)
    }

    /// The databases that the components' variables name.
    fn databases(&self) -> Vec<Backend> {
        let backends = self.backends();
        let mysql = backends
            .keys()
            .filter(|url| Kind::of(url) == Some(Kind::Mysql));
        mysql
            .filter_map(|url| Backend::parse(url, Kind::Mysql).ok())
            .collect()
    }

    /// The addresses of the databases and caches that the components' variables name, each once, with the id of one
    /// component that names it.
    pub(crate) fn backends(&self) -> BTreeMap<String, String> {
        let mut backends = BTreeMap::new();
        for (id, context) in &self.contexts {
            for value in context.variables.values() {
                if Kind::of(value).is_some() {
                    backends.entry(value.clone()).or_insert_with(|| id.clone());
                }
            }
        }
        backends
    }

    /// Whether any component with the Redis `url` in its variables wants values to be kept near.
    pub(crate) fn keeps_near(&self, url: &str) -> bool {
        self.contexts.values().any(|context| {
            context.redis.keeps_any_near() && context.variables.values().any(|value| value == url)
        })
    }

    /// Whether any component with the database `url` in its variables needs the store's tables there.
    pub(crate) fn needs_migrations(&self, url: &str) -> bool {
        self.contexts.iter().any(|(id, context)| {
            self.manifest.components[id].needs_migrations
                && context.variables.values().any(|value| value == url)
        })
    }

    /// An error about a component's file.
    pub(crate) fn load_error(&self, id: &str, fault: LoadFault) -> AppError {
        AppError::Component {
            path: self.manifest.path.clone(),
            source: LoadError {
                id: id.to_owned(),
                path: self.manifest.components[id].source.clone(),
                fault,
            },
        }
    }
}

/// The most health checks that one component answers at a time beyond its limit of requests: enough for a few proxies,
/// and too few to evade the limit.
const HEALTH_CHECKS: usize = 16;

/// What the context of each component is made of.
struct Parts<'a> {
    values: &'a Values,
    servers: &'a Servers,
    config: &'a Config,
    metrics: &'a Arc<Metrics>,
    tracing: &'a Tracing,
}

impl Parts<'_> {
    fn context(
        &self,
        id: &str,
        entry: &ComponentManifest,
        probe: Probe,
    ) -> Result<Context, String> {
        let (config, metrics) = (self.config, self.metrics);
        let variables = self.values.of_component(id, entry)?;
        check_values(id, &entry.variable_values, &variables)?;
        check_addresses(id, &variables, &self.servers.mysql)?;
        let allowed_hosts = entry
            .allowed_outbound_hosts
            .iter()
            .map(|template| AllowedHost::parse(&self.values.resolve(template)?))
            .collect::<Result<_, String>>()
            .map_err(|reason| format!("`component.{id}.allowed_outbound_hosts`: {reason}"))?;
        key_prefix::check(id, &variables)?;
        if self.servers.redis.names_cluster() {
            key_prefix::check_hash_tag(id, &variables)?;
        }
        let limits = limits(id, entry, config)?;
        let refresh_interval = refresh_interval(id, &variables)?;
        let memory = limits.memory_limit_bytes();
        let servers = self.servers.mysql.clone();
        Ok(Context {
            id: id.to_owned(),
            name: id.into(),
            variables,
            environment: entry.environment.clone(),
            allowed_hosts,
            probe,
            refresh_interval,
            in_flight: Arc::new(Semaphore::new(limits.max_in_flight as usize)),
            health_checks: Arc::new(Semaphore::new(HEALTH_CHECKS)),
            log_limit: Arc::new(LogLimit::new(
                limits.log_lines_per_second,
                metrics.log_lines_dropped(id),
            )),
            limits,
            mysql: mysql::Pools::new(id, config.mysql.clone(), servers, memory, metrics.clone()),
            redis: redis::Terms {
                settings: self
                    .servers
                    .redis
                    .for_component(memory, metrics.redis_scripts_ended(id)),
                near_prefixes: self.near_prefixes(id, entry)?,
                near_metrics: metrics.redis_near(id),
            },
            metrics: metrics.clone(),
            tracing: self.tracing.clone(),
            outages: LogThrottle::default(),
            near_refusals: LogThrottle::default(),
            refusals: LogThrottle::default(),
        })
    }

    /// The prefixes of the Redis keys whose values are kept near.
    fn near_prefixes(&self, id: &str, entry: &ComponentManifest) -> Result<Vec<String>, String> {
        let prefixes = entry.redis_near_cache.iter();
        let prefixes = prefixes.map(|template| self.values.resolve(template));
        prefixes.collect::<Result<_, String>>().map_err(|reason| {
            format!("`component.{id}.tool.store-host.redis_near_cache`: {reason}")
        })
    }
}

/// The component variable that says how often the component refreshes its reports.
const INTERVAL_VARIABLE: &str = "report_refresh_seconds";

/// The interval for a component without that variable.
const USUAL_INTERVAL: Duration = Duration::from_secs(60);

/// The longest interval: a day. The component has the same limit.
const LONGEST_INTERVAL_SECONDS: u32 = 86_400;

fn refresh_interval(id: &str, variables: &HashMap<String, String>) -> Result<Duration, String> {
    let Some(text) = variables.get(INTERVAL_VARIABLE) else {
        return Ok(USUAL_INTERVAL);
    };
    match text.parse::<u32>() {
        Ok(seconds) if (1..=LONGEST_INTERVAL_SECONDS).contains(&seconds) => {
            Ok(Duration::from_secs(seconds.into()))
        }
        _ => Err(format!(
            "`component.{id}.variables.{INTERVAL_VARIABLE}`: `{text}` is not a whole number of seconds from 1 to {LONGEST_INTERVAL_SECONDS}"
        )),
    }
}

/// Refuses a value that the manifest does not list for its variable, because the component would refuse it at each
/// request.
fn check_values(
    id: &str,
    listed: &BTreeMap<String, Vec<String>>,
    variables: &HashMap<String, String>,
) -> Result<(), String> {
    for (name, values) in listed {
        if let Some(value) = variables.get(name)
            && !values.contains(value)
        {
            return Err(format!(
                "`component.{id}.variables.{name}`: `{value}` is not allowed; allowed are {}",
                values.join(", ")
            ));
        }
    }
    Ok(())
}

/// Refuses a wrong database or cache address at start, so that it does not fail each request.
fn check_addresses(
    id: &str,
    variables: &HashMap<String, String>,
    mysql: &mysql::Servers,
) -> Result<(), String> {
    for (name, value) in variables {
        if let Some(kind) = Kind::of(value) {
            Backend::parse(value, kind)
                .and_then(|backend| mysql.check(&backend))
                .map_err(|reason| format!("`component.{id}.variables.{name}`: {reason}"))?;
        }
    }
    Ok(())
}

/// The component's own limits, and the host's for those that it does not set.
fn limits(id: &str, entry: &ComponentManifest, config: &Config) -> Result<Limits, String> {
    let limits = entry.limits.over(&config.limits);
    let host = &config.limits;
    if limits.memory_limit_mib > host.memory_limit_mib {
        // At start, the engine reserves memories of the size that the flag says.
        return Err(format!(
            "`component.{id}.tool.store-host.limits.memory_limit_mib`: {} is more than --memory-limit-mib {}",
            limits.memory_limit_mib, host.memory_limit_mib
        ));
    }
    let clients = &config.clients;
    if clients.max_requests_per_client >= limits.max_in_flight {
        tracing::warn!(
            component = id,
            "One client may take all {} requests of `{id}`: lower --max-requests-per-client",
            limits.max_in_flight
        );
    }
    let bodies = clients.body_bytes().min(clients.body_bytes_per_client());
    if limits.body_limit_bytes > bodies {
        return Err(format!(
            "`component.{id}`: a body limit of {} bytes is more than --max-body-mib {} or --max-body-mib-per-client {} ever lets in",
            limits.body_limit_bytes, clients.max_body_mib, clients.max_body_mib_per_client
        ));
    }
    Ok(limits)
}
