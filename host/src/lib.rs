//! Serves the WebAssembly components of a Spin app: pooled MySQL and Redis behind Spin's own interfaces, Prometheus
//! metrics, limits, and a task that keeps cached reports fresh.
//!
//! A request's way: `serve` accepts it, `respond` finds its component, `instance` runs it, `mysql` and `redis` are
//! what it reaches.

mod admin;
mod app;
mod bindings;
mod body;
pub mod client;
mod component;
pub mod config;
mod engine;
mod guest_log;
mod instance;
mod limits;
pub mod logging;
mod manifest;
mod metrics;
mod migrate;
mod mysql;
mod observed;
mod outbound;
mod preflight;
mod problem;
mod redis;
mod refresh;
mod respond;
mod router;
mod serve;
mod state;
mod variables;
mod wasi;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use app::AppError;
pub use component::LoadError;
pub use manifest::ManifestError;
pub use migrate::{MigrateError, migrate};

use app::{App, Plan};
use config::Config;
use engine::EpochTicker;
use metrics::Metrics;
use refresh::RefreshTasks;
use serve::Connections;

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The app.
    #[error(transparent)]
    App(#[from] AppError),
    /// A setting outside the manifest's reach.
    #[error("{0}")]
    Setting(String),
    /// A database or cache.
    #[error("{0}")]
    Backend(String),
    /// A listener.
    #[error("{flag} {address}: {source}; free the port or choose another (0 picks one)")]
    Listen {
        /// The flag that names the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The machine or the metrics registry.
    #[error("{0}")]
    Internal(String),
}

impl StartError {
    /// The process's exit code: 2 for a setting, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::App(error) if error.is_setting() => 2,
            Self::Setting(_) => 2,
            _ => 1,
        }
    }
}

/// A host whose ports are bound and whose components are ready.
pub struct Host {
    app: Arc<App>,
    listener: TcpListener,
    admin: SocketAddr,
    connections: Connections,
    _refresh: RefreshTasks,
    _admin_tasks: JoinSet<()>,
    _ticker: EpochTicker,
}

impl Host {
    /// Checks everything, loads the app and binds the ports.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let metrics = Metrics::new().map_err(|error| StartError::Internal(error.to_string()))?;
        let plan = Plan::new(config, &metrics)?;
        let listener = bind("--listen", config.listen).await?;
        let admin_listener = bind("--admin-listen", config.admin_listen).await?;
        preflight::check(plan.backends().iter(), config, &metrics)
            .await
            .map_err(|reason| StartError::Backend(format!("{}: {reason}", config.app.display())))?;

        let engine = engine::new(
            config.limits.memory_limit_bytes(),
            config.compile_cache.as_deref(),
        )
        .map_err(|error| StartError::Internal(format!("can't set up wasmtime: {error:#}")))?;
        let ticker = EpochTicker::start(engine.clone())
            .map_err(|error| StartError::Internal(format!("can't start a thread: {error}")))?;
        // Compiling keeps a thread busy for seconds.
        let app = tokio::task::block_in_place(|| plan.load(&engine))?;
        let refresh = refresh::start(&engine, app.components.values())
            .map_err(|reason| StartError::Setting(format!("{}: {reason}", config.app.display())))?;
        let admin = local_address(&admin_listener)?;
        Ok(Self {
            app: Arc::new(app),
            listener,
            admin,
            connections: Connections {
                most: config.max_connections as usize,
                send_timeout: config.send_timeout,
                drain_timeout: config.drain_timeout,
            },
            _refresh: refresh,
            _admin_tasks: admin::start(admin_listener, metrics),
            _ticker: ticker,
        })
    }

    /// Where requests are served.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> Result<SocketAddr, StartError> {
        local_address(&self.listener)
    }

    /// Where metrics are served.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Serves until `stop` resolves and requests in flight are done, or the drain timeout is over.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        serve::serve(self.app, self.listener, stop, self.connections).await;
    }
}

async fn bind(flag: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen {
            flag,
            address,
            source,
        })
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener
        .local_addr()
        .map_err(|error| StartError::Internal(error.to_string()))
}
