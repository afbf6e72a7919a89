//! One loaded component: compiled, linked, and what its instances share.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use url::Url;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi_http::handler::ProxyHandler;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::bindings::refresher::RefresherPre;
use crate::config::Limits;
use crate::instance::Instances;
use crate::metrics::Metrics;
use crate::outbound::AllowedHost;
use crate::state::State;
use crate::{mysql, redis};

/// The export that makes a component one that the refresh task calls.
const REFRESH_EXPORT: &str = "store:reports/refresh@1.0.0";

/// Between two log lines about the same component's unreachable database or cache.
const OUTAGE_LOG_PAUSE: Duration = Duration::from_secs(5);

/// Why a component can't be served.
#[derive(Debug, thiserror::Error)]
#[error("`component.{id}.source`: {path}: {reason}")]
pub struct LoadError {
    id: String,
    path: PathBuf,
    reason: String,
}

/// What all instances of a component share.
pub(crate) struct Context {
    pub(crate) id: String,
    pub(crate) variables: HashMap<String, String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) allowed_hosts: Vec<AllowedHost>,
    pub(crate) limits: Limits,
    pub(crate) mysql: mysql::Pools,
    pub(crate) redis: redis::Connections,
    pub(crate) metrics: Arc<Metrics>,
    /// When an outage was last logged. Written by [`Context::warn_of_outage`].
    pub(crate) outage_logged: Mutex<Option<Instant>>,
}

impl Context {
    /// Whether the component may connect to `address`.
    ///
    /// # Errors
    /// The reason, without the address's user and password.
    pub(crate) fn check_outbound(&self, address: &str, scheme: &str) -> Result<(), String> {
        let url = Url::parse(address)
            .ok()
            .filter(|url| url.scheme() == scheme)
            .ok_or_else(|| format!("the address is not a {scheme}:// URL"))?;
        if self
            .allowed_hosts
            .iter()
            .any(|allowed| allowed.allows(&url))
        {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        let port = url
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        let reason = format!(
            "{scheme}://{host}{port} is not among the allowed_outbound_hosts of `{}`",
            self.id
        );
        tracing::warn!(component = self.id, "Refused a connection: {reason}");
        Err(reason)
    }

    /// Logs that MySQL or Redis failed, but not once for each request.
    pub(crate) fn warn_of_outage(&self, error: &dyn Display) {
        let mut logged = self
            .outage_logged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|at| at.elapsed() >= OUTAGE_LOG_PAUSE) {
            *logged = Some(Instant::now());
            tracing::warn!(component = self.id, "`{}`: {error}", self.id);
        }
    }
}

/// A component that is ready to serve.
pub(crate) struct LoadedComponent {
    pub(crate) context: Arc<Context>,
    pub(crate) handler: ProxyHandler<Instances>,
    /// Present when the component exports the refresh function.
    pub(crate) refresher: Option<RefresherPre<State>>,
    /// One permit for each request in flight.
    pub(crate) in_flight: Arc<Semaphore>,
    /// SHA-256 of the file, in hexadecimal.
    pub(crate) digest: String,
}

impl LoadedComponent {
    /// Compiles and links the file at `path`.
    ///
    /// # Errors
    /// The file is missing, is no component, or asks for what this host does not offer.
    pub(crate) fn load(engine: &Engine, context: Context, path: &Path) -> Result<Self, LoadError> {
        let id = context.id.clone();
        let error = |reason: String| LoadError {
            id: id.clone(),
            path: path.to_owned(),
            reason,
        };
        let bytes = std::fs::read(path).map_err(|source| {
            error(format!(
                "can't be read: {source}; build the component first"
            ))
        })?;
        let digest = format!("{:x}", Sha256::digest(&bytes));
        let pre = link(engine, &bytes).map_err(&error)?;
        let service = ServicePre::new(pre.clone()).map_err(|_| {
            error("exports no wasi:http/handler@0.3.0: build it with spin-sdk 7 or newer".into())
        })?;
        let refresher = pre
            .component()
            .get_export_index(None, REFRESH_EXPORT)
            .map(|_| RefresherPre::new(pre))
            .transpose()
            .map_err(|cause| {
                error(format!(
                    "its {REFRESH_EXPORT} has another type: {}",
                    cause.root_cause()
                ))
            })?;

        let context = Arc::new(context);
        context.metrics.announce_component(&context.id, &digest);
        Ok(Self {
            handler: ProxyHandler::new(Instances::new(context.clone(), engine.clone(), service)),
            refresher,
            in_flight: Arc::new(Semaphore::new(context.limits.max_in_flight as usize)),
            digest,
            context,
        })
    }
}

fn link(engine: &Engine, bytes: &[u8]) -> Result<InstancePre<State>, String> {
    // The first eight bytes: https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md
    match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => {}
        Some(b"\0asm\x01\0\0\0") => {
            return Err("is a core module, not a component: build it for wasm32-wasip2".into());
        }
        _ => return Err("is not a WebAssembly component".into()),
    }
    let component = Component::new(engine, bytes)
        .map_err(|cause| format!("does not compile: {}", one_line(&cause)))?;
    linker(engine)
        .and_then(|linker| linker.instantiate_pre(&component))
        .map_err(|cause| {
            format!(
                "imports what this host does not offer: {}",
                one_line(&cause)
            )
        })
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    crate::wasi::add_to_linker(&mut linker)?;
    crate::variables::add_to_linker(&mut linker)?;
    mysql::add_to_linker(&mut linker)?;
    redis::add_to_linker(&mut linker)?;
    Ok(linker)
}

fn one_line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
