//! Serves the WebAssembly components of a Spin app: pooled MySQL and Redis behind Spin's own interfaces, Prometheus
//! metrics, limits, and a task that keeps cached reports fresh.
//!
//! Each folder is one station of a request. `POST /orders` arrives in `http`, which reads it by the rules of `message`
//! and asks `clients` whether its client may send one more request. `app` knows the component and the generation that
//! serve the path. In `instance`, an instance of that generation runs the request. The instance reaches `mysql` and
//! `redis` at addresses that `outbound` allows. `control` changes what serves, on behalf of `admin`; `client` has the
//! operators' commands, which call `admin`. Code that serves imports none of these three, which `tests/it/rooms.rs`
//! checks. `durable` writes the small files that a restart reads again.

mod admin;
mod answers;
mod app;
pub mod cli;
pub mod client;
mod clients;
pub mod config;
mod control;
mod durable;
#[cfg(test)]
mod fuzz;
mod http;
mod instance;
mod message;
mod metrics;
#[cfg(feature = "micro")]
pub mod micro;
mod migrate;
mod mysql;
mod outbound;
mod redis;
mod rollout;

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use store_server::console::{Console, Program, check_names};
use store_server::io_fault;
use store_server::listener::limit_unsent;
use store_server::trace::Tracing;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use wasmtime::Engine;

pub use app::{AppError, LoadError, ManifestError, databases};
pub use control::Reloader;
pub use migrate::{MigrateError, NotOurSchema, migrate};

use admin::{Admin, AdminListener, ServerNames, Token};
use app::{Plan, PreflightError, Readiness, preflight};
use clients::Clients;
use config::{AdminAddress, Config};
use control::file_watch::Files;
use control::{Control, Parts, Purger, StateFolder, Trust, file_watch, refresh_task};
use http::{Refusals, Server};
use instance::{Compiler, EpochTicker, engine};
use metrics::{Metrics, PANELS};
use mysql::WriterRecords;

/// The service name in traces, unless the environment sets another.
const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The app can't be served.
    #[error(transparent)]
    App(#[from] AppError),
    /// A flag or a variable of the host has a wrong value.
    #[error("{0}")]
    Setting(String),
    /// A database or a cache can't be reached or used, which may pass.
    #[error("{0}")]
    Backend(String),
    /// A database or a cache refuses what the settings say, such as the password.
    #[error("{0}")]
    Refused(String),
    /// The tables of a database are those of another version.
    #[error("{0}")]
    Schema(String),
    /// The state folder can't be used.
    #[error("--state-folder {path}: {source}; name another, or `none` to forget swaps at the end")]
    State {
        /// The folder.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The host can't listen on an address.
    #[error("{flag} {address}: {source}; free the port or choose another (0 picks one)")]
    Listen {
        /// The flag that sets the address.
        flag: &'static str,
        /// The address.
        address: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The system has no thread or socket for the host, or the metrics can't be declared.
    #[error("{0}")]
    Internal(String),
}

impl StartError {
    /// The process's exit code. 2 stands for what is wrong with the app, its components or a setting, such as a
    /// password that is refused or a port that the host may not have, 3 for a database's schema and 4 for a taken port:
    /// starting again would not help. 1 stands for anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::App(error) if error.may_pass() => 1,
            // It is another host's, or no folder.
            Self::State { source, .. } => match source.kind() {
                ErrorKind::ResourceBusy | ErrorKind::AlreadyExists => 2,
                _ if io_fault::stands(source) => 2,
                _ => 1,
            },
            Self::App(_) | Self::Setting(_) | Self::Refused(_) => 2,
            Self::Schema(_) => 3,
            Self::Listen { source, .. } if source.kind() == ErrorKind::AddrInUse => 4,
            Self::Listen { source, .. } if io_fault::stands(source) => 2,
            Self::Listen { .. } | Self::Backend(_) | Self::Internal(_) => 1,
        }
    }
}

/// A host whose ports are bound and whose components are ready.
pub struct Host {
    control: Arc<Control>,
    listener: TcpListener,
    admin: AdminAddress,
    server: Arc<Server>,
    /// The refresh task, the admin listener, the file watch and the console. They end when this is dropped.
    _tasks: [JoinSet<()>; 4],
    _ticker: EpochTicker,
}

impl Host {
    /// Checks everything, loads the app and binds the ports.
    ///
    /// # Errors
    /// Something can't be served or bound; see [`StartError`]. Nothing is left running.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let metrics = Metrics::new().map_err(internal)?;
        let tracing = config.trace.settings();
        let tracing = Tracing::start(&tracing, PROGRAM, metrics.spans.clone());
        let tracing = tracing.map_err(StartError::Setting)?;
        let files = || Files::of(&config.app, &config.variable_file);
        let watched = config.swap.watch.then(files);
        let writers = Arc::<WriterRecords>::default();
        let plan = Plan::new(config, &metrics, &tracing, &writers)?;
        let token = admin_token(config)?;
        let purger = purger(config, &metrics)?;
        let trust = Trust::new(config.swap.require_signature.as_deref());
        let trust = trust.map_err(StartError::Setting)?;
        check_names(&config.console_peer)
            .map_err(|why| StartError::Setting(format!("--console-peer: {why}")))?;
        let state = state_folder(config)?;
        if let Some(state) = &state {
            // The records must be read before the host connects to MySQL.
            writers.keep_at(state.writers_path());
        }
        let listener = bind(config.listen).await?;
        let admin_listener = bind_admin(&config.admin_listen).await?;
        let checked = preflight::check(&plan, config, &metrics).await;
        checked.map_err(|unfit| unserved(config, &unfit))?;
        let (engine, ticker, compiler) = start_engine(config)?;
        let parts = Parts {
            engine,
            compiler,
            config: config.clone(),
            purger,
            metrics: metrics.clone(),
            tracing: tracing.clone(),
            trust,
            state,
            writers,
        };
        // Loading blocks the thread for some seconds, because it compiles.
        let control = tokio::task::block_in_place(|| Control::load(&plan, parts))?;
        let admin = admin_listener.address().map_err(internal)?;
        let listens = local_address(&listener)?;
        let refusals = Arc::new(Refusals::new(metrics.clone()));
        let own = Admin {
            control: control.clone(),
            console: console(config, listens, &metrics, tracing.is_on()),
            token,
            names: ServerNames::of(&admin, &config.admin_names),
            refusals: refusals.clone(),
        };
        Ok(Self {
            listener,
            admin,
            server: server(config, &control, refusals, tracing),
            _tasks: start_tasks(&control, watched, admin_listener, own),
            _ticker: ticker,
            control,
        })
    }

    /// The address at which requests are served.
    ///
    /// # Errors
    /// The system does not return the address of the socket.
    pub fn address(&self) -> Result<SocketAddr, StartError> {
        local_address(&self.listener)
    }

    /// The address of the admin listener, for metrics, status and changes.
    pub fn admin_address(&self) -> &AdminAddress {
        &self.admin
    }

    /// Reloads the app while the host serves.
    pub fn reloader(&self) -> Reloader {
        Reloader(self.control.clone())
    }

    /// Serves until `stop` resolves. Then lets requests in flight finish, up to the drain timeout.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        http::serve(self.server, self.listener, stop).await;
        self.control.stop();
        self.control.tracing.finish().await;
    }
}

fn internal(error: impl fmt::Display) -> StartError {
    StartError::Internal(error.to_string())
}

/// The error for an app that can't be served with its databases and caches.
fn unserved(config: &Config, unfit: &PreflightError) -> StartError {
    let said = format!("{}: {unfit}", config.app.display());
    match unfit {
        PreflightError::Backend(_) => StartError::Backend(said),
        PreflightError::Refused(_) => StartError::Refused(said),
        PreflightError::Schema(_) => StartError::Schema(said),
    }
}

/// Starts the engine, its ticker and the compiler.
fn start_engine(config: &Config) -> Result<(Engine, EpochTicker, Compiler), StartError> {
    let memory = config.limits.memory_limit_bytes();
    let engine = engine::new(memory, config.compile_cache.as_deref());
    let engine = engine.map_err(|error| internal(format!("can't set up wasmtime: {error:#}")))?;
    let no_thread = |error| internal(format!("can't start a thread: {error}"));
    let ticker = EpochTicker::start(engine.clone()).map_err(no_thread)?;
    let compiler = Compiler::start(engine.clone()).map_err(no_thread)?;
    Ok((engine, ticker, compiler))
}

fn purger(config: &Config, metrics: &Arc<Metrics>) -> Result<Arc<Purger>, StartError> {
    let (proxies, token_file) = (config.purge.clone(), config.proxy_token_file.clone());
    Purger::new(proxies, token_file, metrics.clone()).map_err(StartError::Setting)
}

/// The parts that all connections of clients share.
fn server(
    config: &Config,
    control: &Control,
    refusals: Arc<Refusals>,
    tracing: Tracing,
) -> Arc<Server> {
    Arc::new(Server {
        live: control.live.clone(),
        clients: Clients::new(config.clients.clone()),
        refusals,
        readiness: Readiness::new(control.live.clone()),
        tracing,
        max_connections: config.max_connections as usize,
        idle_timeout: config.idle_timeout,
        receive_timeout: config.clients.receive_timeout,
        send_timeout: config.send_timeout,
        drain_timeout: config.drain_timeout,
    })
}

fn start_tasks(
    control: &Arc<Control>,
    watched: Option<Files>,
    listener: AdminListener,
    admin: Admin,
) -> [JoinSet<()>; 4] {
    let watch = watched.map(|files| file_watch::start(control.clone(), files));
    let mut console = JoinSet::new();
    console.spawn(admin.console.clone().run(Vec::new));
    [
        refresh_task::start(
            control.live.clone(),
            control.watch_changes(),
            control.purger.clone(),
        ),
        admin::start(listener, Arc::new(admin)),
        watch.unwrap_or_default(),
        console,
    ]
}

/// The console of this host and of the members that its settings name.
fn console(
    config: &Config,
    listens: SocketAddr,
    metrics: &Metrics,
    keeps_traces: bool,
) -> Arc<Console> {
    let program = Program {
        package: PROGRAM,
        name: format!("host {listens}"),
        keeps_traces,
    };
    let members = config.console_peer.clone();
    Console::new(program, &PANELS, metrics.registry(), members)
}

/// Reads the admin token. Refuses an admin listener that other machines can reach if there is no token.
fn admin_token(config: &Config) -> Result<Token, StartError> {
    let token = Token::load(&config.swap).map_err(StartError::Setting)?;
    if !token.is_set() && !config.admin_listen.is_local() {
        return Err(StartError::Setting(format!(
            "--admin-listen {}: beyond this machine it needs an admin token: name its file with --admin-token-file",
            config.admin_listen
        )));
    }
    Ok(token)
}

/// The value of `--state-folder` for a host without a state folder.
const NO_FOLDER: &str = "none";

/// The folder in which swaps survive a restart: the one in the settings, or a folder for this host beside the app.
fn state_folder(config: &Config) -> Result<Option<StateFolder>, StartError> {
    let path: PathBuf = match (&config.swap.state_folder, config.listen.port()) {
        (Some(path), _) if path.as_os_str() == NO_FOLDER => return Ok(None),
        (Some(path), _) => path.clone(),
        // With port 0 the system chooses the port, so the host would have another folder after each start.
        (None, 0) => {
            tracing::info!(
                "Swapped versions are forgotten when this process ends; keep them with --state-folder"
            );
            return Ok(None);
        }
        (None, port) => {
            let state = format!(".store/state/{port}");
            config.app.with_file_name(state)
        }
    };
    StateFolder::open(&path)
        .map(Some)
        .map_err(|source| StartError::State { path, source })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|source| StartError::Listen {
        flag: "--listen",
        address: address.to_string(),
        source,
    })?;
    limit_unsent(&listener);
    Ok(listener)
}

async fn bind_admin(address: &AdminAddress) -> Result<AdminListener, StartError> {
    AdminListener::bind(address)
        .await
        .map_err(|source| StartError::Listen {
            flag: "--admin-listen",
            address: address.to_string(),
            source,
        })
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let listen = |kind: ErrorKind| StartError::Listen {
            flag: "--listen",
            address: "127.0.0.1:80".to_owned(),
            source: kind.into(),
        };
        // The numbers are those of Linux: ENOENT, EIO and ENFILE.
        let manifest = |number| {
            StartError::App(AppError::Manifest(ManifestError::Unreadable {
                path: PathBuf::new(),
                source: std::io::Error::from_raw_os_error(number),
            }))
        };
        let state = |kind: ErrorKind| StartError::State {
            path: PathBuf::new(),
            source: kind.into(),
        };
        for (error, code) in [
            (manifest(2), 2),
            (manifest(5), 1),
            (manifest(23), 1),
            (state(ErrorKind::PermissionDenied), 2),
            (state(ErrorKind::ResourceBusy), 2),
            (state(ErrorKind::StorageFull), 1),
            (StartError::Setting(String::new()), 2),
            (StartError::Refused(String::new()), 2),
            (StartError::Backend(String::new()), 1),
            (StartError::Schema(String::new()), 3),
            (listen(ErrorKind::AddrInUse), 4),
            (listen(ErrorKind::PermissionDenied), 2),
            (listen(ErrorKind::AddrNotAvailable), 1),
        ] {
            assert_eq!(error.exit_code(), code, "{error:?}");
        }
    }
}
