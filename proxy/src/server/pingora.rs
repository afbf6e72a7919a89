//! Pingora's server with its services. It runs in a thread of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::listeners::TcpSocketOptions;
use pingora_core::server::configuration::{Opt, ServerConf};
use pingora_core::server::{ExecutionPhase, RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use pingora_core::services::background::background_service;
use pingora_core::services::listening::Service;
use store_server::PerSecond;
use store_server::console::Console;
use tokio::sync::{Mutex, broadcast, mpsc, oneshot};

use super::StartError;
use super::sockets::{self, ListenWatch};
use crate::config::Config;
use crate::downstream::entrance::{Entrance, Occupants};
use crate::downstream::front::Front;
use crate::downstream::tls::Certificate;
use crate::operate::admin::Admin;
use crate::operate::entrance::AdminEntrance;
use crate::operate::reload::Reloader;
use crate::operate::token::Token;
use crate::request::access_log::AccessLog;
use crate::table::checks::HealthChecks;
use crate::table::live::LiveTable;
use crate::table::lookups::NameLookups;

/// Most idle connections to upstreams that each thread keeps.
const KEPT_CONNECTIONS: usize = 1024;

/// Pingora's own limit on tries, so high that only `retry.max_tries` matters.
const MOST_RETRIES: usize = 200;

/// Most log lines about refused requests of operators in a second.
const REFUSAL_LINES: u32 = 100;

/// The parts that pingora's services are made of.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) live: Arc<LiveTable>,
    pub(super) access_log: Arc<AccessLog>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) certificates: &'a [Arc<Certificate>],
    pub(super) visitors: AdminServices,
    pub(super) handing_over: Arc<AtomicBool>,
}

/// The parts of the admin listener.
pub(super) struct AdminServices {
    pub(super) token: Token,
    pub(super) console: Arc<Console>,
}

/// A running pingora server.
pub(super) struct PingoraServer {
    /// Receives the phases of pingora's start and end.
    pub(super) phases: broadcast::Receiver<ExecutionPhase>,
    /// Resolves once pingora listens on all addresses.
    pub(super) listening: oneshot::Receiver<()>,
    /// Counts the connections that keep a stopping process from ending.
    pub(super) occupants: Occupants,
    stop: mpsc::Sender<ShutdownSignal>,
}

impl PingoraServer {
    /// Starts the services. With `upgrade`, takes the sockets of another process over.
    pub(super) fn start(parts: Parts<'_>, upgrade: bool) -> Result<Self, StartError> {
        let options = Opt {
            upgrade,
            ..Opt::default()
        };
        let server = Server::new_with_opt_and_conf(options, conf(parts.config)?);
        let (tell, listening) = oneshot::channel();
        let (stop, stopped) = mpsc::channel(1);
        let phases = server.watch_execution_phase();
        let (server, occupants) = with_services(server, parts, tell)?;
        run(server, stopped)?;
        Ok(Self {
            phases,
            listening,
            occupants,
            stop,
        })
    }

    /// Begins to stop. A second call changes nothing.
    pub(super) fn stop(&self, how: ShutdownSignal) {
        _ = self.stop.try_send(how);
    }
}

fn conf(config: &Config) -> Result<ServerConf, StartError> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| StartError::Internal(format!("{}: is not UTF-8", path.display())))
    };
    Ok(ServerConf {
        threads: config.server.threads,
        pid_file: text(&config.server.pid_file)?,
        upgrade_sock: text(&config.server.upgrade_socket)?,
        upstream_keepalive_pool_size: KEPT_CONNECTIONS,
        max_retries: MOST_RETRIES,
        // A connection stays on the thread where it began, which measured faster.
        work_stealing: false,
        // Pingora sleeps for all of this time; the process ends earlier, once its connections are closed.
        grace_period_seconds: Some(config.server.drain_timeout.as_secs() + 60),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    })
}

fn with_services(
    mut server: Server,
    parts: Parts<'_>,
    tell: oneshot::Sender<()>,
) -> Result<(Server, Occupants), StartError> {
    let (config, live) = (parts.config, parts.live.clone());
    let (proxy, occupants) = proxy(&parts, server.configuration.clone())?;
    server.add_service(proxy);
    server.add_service(admin(parts));
    let lookups = NameLookups::new(live.clone());
    server.add_service(background_service("names", lookups));
    server.add_service(background_service("health", HealthChecks::new(live)));
    server.add_service(ListenWatch {
        addresses: sockets::addresses(config),
        tell: Some(tell),
    });
    Ok((server, occupants))
}

/// The service for clients.
fn proxy(
    parts: &Parts<'_>,
    conf: Arc<ServerConf>,
) -> Result<(Service<Entrance>, Occupants), StartError> {
    let config = parts.config;
    let http2_without_tls = config.listen.iter().any(|listen| listen.h2c);
    let (live, access_log) = (parts.live.clone(), parts.access_log.clone());
    let front = Front::new(live.clone(), access_log, conf, http2_without_tls);
    let entrance = Entrance::new(front, live, &config.listen, parts.certificates);
    let entrance = entrance.map_err(|error| StartError::Internal(error.to_string()))?;
    let occupants = entrance.occupants();
    let mut proxy = Service::new("proxy".into(), entrance);
    for listen in &config.listen {
        proxy.add_listener(sockets::listener(listen.address));
    }
    Ok((proxy, occupants))
}

/// The service for operators.
fn admin(parts: Parts<'_>) -> Service<AdminEntrance> {
    let server = &parts.config.server;
    let admin = Admin {
        live: parts.live.clone(),
        reloader: parts.reloader,
        token: parts.visitors.token,
        console: parts.visitors.console,
        names: server.admin_names.clone(),
        handing_over: parts.handing_over,
        upgrade_socket: server.upgrade_socket.clone(),
        refusal_lines: PerSecond::new(REFUSAL_LINES),
    };
    let mut service = Service::new("admin".into(), AdminEntrance::new(admin, parts.live));
    service.threads = Some(1);
    service.add_tcp_with_settings(&server.admin.to_string(), TcpSocketOptions::default());
    service
}

/// Runs the server in its own thread, as pingora blocks the thread that it runs on.
fn run(mut server: Server, stopped: mpsc::Receiver<ShutdownSignal>) -> Result<(), StartError> {
    let shutdown_signal = Box::new(StopSignal(Mutex::new(stopped)));
    thread::Builder::new()
        .name("pingora".into())
        .spawn(move || {
            server.bootstrap();
            server.run(RunArgs { shutdown_signal });
        })
        .map(drop)
        .map_err(|error| StartError::Internal(format!("can't start threads: {error}")))
}

/// Tells pingora to stop. This program reads the signals, and passes on those that concern pingora.
struct StopSignal(Mutex<mpsc::Receiver<ShutdownSignal>>);

#[async_trait]
impl ShutdownSignalWatch for StopSignal {
    async fn recv(&self) -> ShutdownSignal {
        match self.0.lock().await.recv().await {
            Some(signal) => signal,
            // The sender is gone, so nothing could stop pingora later.
            None => ShutdownSignal::FastShutdown,
        }
    }
}

/// How long pingora waits for the sockets of another process.
pub(super) const HAND_OVER_LIMIT: Duration = Duration::from_secs(6);
