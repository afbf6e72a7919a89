//! One process from its start to its end, in this order: checks, start, take-over, announcement, stop.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pingora_core::server::{ExecutionPhase, ShutdownSignal};
use store_server::service_manager;
use store_server::trace::Tracing;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::StartError;
use super::console;
use super::pingora::{AdminServices, HAND_OVER_LIMIT, Parts, PingoraServer};
use super::signals::{Instruction, Signals};
use super::sockets;
use crate::config::{self, Config};
use crate::downstream::tls::Certificate;
use crate::metrics::Metrics;
use crate::names::Names;
use crate::operate::cli::Serve;
use crate::operate::client::AdminClient;
use crate::operate::pid_file::{self, PidFile};
use crate::operate::reload::Reloader;
use crate::operate::token::Token;
use crate::operate::upgrade::is_listened_on;
use crate::request::access_log::AccessLog;
use crate::table::live::LiveTable;

/// The service name of traces, unless the environment gives another.
const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// Time between two checks whether certificate files have changed.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(1);

/// Longest wait until pingora listens. The addresses were free a moment ago.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);

/// How long a process that is told to hand over waits until another process asks for its sockets.
const SUCCESSOR_LIMIT: Duration = Duration::from_secs(5);

/// How long the running process may take to tell which upstreams are drained.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// Time between two checks of a condition.
const LOOK: Duration = Duration::from_millis(20);

/// How many looks in a row must find no connection. A single look could miss one that was just accepted, as that is not
/// counted yet.
const EMPTY_LOOKS: u32 = 5;

/// Serves until a signal ends it.
///
/// # Errors
/// The proxy can't start; nothing is left running.
pub async fn serve(settings: &Serve) -> Result<(), StartError> {
    let mut signals = Signals::catch().map_err(internal)?;
    let config = config::load(&settings.config)?;
    let certificates = crate::downstream::entrance::certificates(&config.listen)?;
    check_place(&config, settings.upgrade)?;
    let token = Token::load(&config.server.admin_token_file).map_err(StartError::Token)?;
    sockets::allow_open_files(config.limits.connections);

    let metrics = Metrics::new().map_err(internal)?;
    let log = AccessLog::start(&config.access_log, metrics.log_lines_dropped.clone());
    let (access_log, _lines_are_written_on_drop) = log.map_err(|error| {
        let path = config.access_log.path.clone().unwrap_or_default();
        file_error(&path, error)
    })?;
    let access_log = Arc::new(access_log);
    let tracing = Tracing::start(&config.trace, PROGRAM, metrics.spans.clone());
    let tracing = tracing.map_err(StartError::Trace)?;
    let names = Names::new(metrics.clone());
    names.ask_for_all(&config).await;
    let live = LiveTable::new(&config, names, metrics, tracing.clone());
    if settings.upgrade {
        take_over_drains(&config, &live).await;
    }

    // The clock of pingora's timers starts with their first use. In a build with overflow checks, timers panic in the
    // clock's first millisecond, so let that pass.
    pingora_timeout::sleep(Duration::from_millis(1)).await;
    let (console, _samples_end_on_drop) = console::start(PROGRAM, &config, &live);
    let visitors = AdminServices { token, console };
    let proxy = Proxy::start(settings, config, live, access_log, certificates, visitors).await?;
    let pid_file = &proxy.config.server.pid_file;
    let _removed_on_drop = PidFile::write(pid_file).map_err(|error| file_error(pid_file, error))?;
    proxy.announce();
    service_manager::ready();
    let _ended_on_drop = service_manager::show_life();
    proxy.follow(&mut signals).await;
    tracing.finish().await;
    Ok(())
}

fn internal(error: impl std::fmt::Display) -> StartError {
    StartError::Internal(error.to_string())
}

fn file_error(file: &std::path::Path, error: io::Error) -> StartError {
    StartError::File {
        file: file.to_owned(),
        error,
    }
}

/// Checks files and addresses that would stop the process later, with a less clear message or after it has taken over
/// the sockets.
fn check_place(config: &Config, upgrade: bool) -> Result<(), StartError> {
    let server = &config.server;
    for file in [&server.pid_file, &server.upgrade_socket] {
        pid_file::check_place(file).map_err(|error| file_error(file, error))?;
    }
    if upgrade {
        return Ok(());
    }
    sockets::check_free(&sockets::addresses(config))
        .map_err(|(address, error)| StartError::Listen { address, error })
}

/// Drains the upstreams that are drained in the running process, so that they stay out of service.
async fn take_over_drains(config: &Config, live: &LiveTable) {
    let status = async { AdminClient::at(config.server.admin, None)?.status().await };
    let running = match timeout(ASK_LIMIT, status).await {
        Ok(Ok(running)) => running,
        Ok(Err(error)) => {
            return tracing::warn!(%error, "The running process did not say which upstreams are drained");
        }
        Err(_) => {
            return tracing::warn!(
                "The running process did not say in time which upstreams are drained"
            );
        }
    };
    for upstream in running.drained() {
        // The upstream may have been removed from the file since.
        if live.drain(upstream, Duration::ZERO).await.is_ok() {
            tracing::info!(upstream, "Stays drained");
        }
    }
}

/// A running proxy.
struct Proxy {
    config: Config,
    reloader: Arc<Reloader>,
    live: Arc<LiveTable>,
    certificates: Vec<Arc<Certificate>>,
    handing_over: Arc<AtomicBool>,
    running: PingoraServer,
}

impl Proxy {
    async fn start(
        settings: &Serve,
        config: Config,
        live: Arc<LiveTable>,
        access_log: Arc<AccessLog>,
        certificates: Vec<Arc<Certificate>>,
        visitors: AdminServices,
    ) -> Result<Self, StartError> {
        let file = std::path::absolute(&settings.config).map_err(internal)?;
        let reloader = Reloader::new(file, config.clone(), live.clone(), access_log.clone());
        let (reloader, handing_over) = (Arc::new(reloader), Arc::default());
        let parts = Parts {
            config: &config,
            live: Arc::clone(&live),
            access_log,
            reloader: Arc::clone(&reloader),
            certificates: &certificates,
            visitors,
            handing_over: Arc::clone(&handing_over),
        };
        let mut running = PingoraServer::start(parts, settings.upgrade)?;
        if settings.upgrade {
            wait_for_hand_over(&mut running, &config).await;
        }
        match timeout(LISTEN_LIMIT, &mut running.listening).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(internal("the start failed; its reason is above")),
            Err(_) => return Err(internal("can't listen on all addresses; the log says why")),
        }
        Ok(Self {
            config,
            reloader,
            live,
            certificates,
            handing_over,
            running,
        })
    }

    /// Prints the addresses of the listeners on stdout, for people and scripts.
    fn announce(&self) {
        let mut lines = String::new();
        for listen in &self.config.listen {
            let scheme = if listen.tls.is_some() {
                "https"
            } else {
                "http"
            };
            lines.push_str(&format!("listening on {scheme}://{}\n", listen.address));
        }
        lines.push_str(&format!("admin on http://{}\n", self.config.server.admin));
        // Stdout may be closed, which is no reason to stop.
        _ = io::stdout().write_all(lines.as_bytes());
        _ = io::stdout().flush();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "Serving");
    }

    /// Follows signals until one of them ends the process.
    async fn follow(mut self, signals: &mut Signals) {
        let mut look = interval(CERTIFICATE_LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let how = loop {
            let instruction = tokio::select! {
                instruction = signals.next() => instruction,
                _ = look.tick() => {
                    self.refresh_certificates();
                    continue;
                }
            };
            match instruction {
                Instruction::Stop => {
                    // Not in a hand-over: another process goes on in place of this one.
                    service_manager::stopping();
                    break ShutdownSignal::GracefulTerminate;
                }
                Instruction::HandOver if self.has_successor().await => {
                    self.handing_over.store(true, Ordering::Relaxed);
                    break ShutdownSignal::GracefulUpgrade;
                }
                Instruction::HandOver => tracing::error!(
                    "Told to hand over, but no process asks for the sockets (see --upgrade); serving on"
                ),
                Instruction::Reload => self.reload(),
            }
        };
        self.live.close_caches();
        tracing::info!("Stopping");
        self.running.stop(how);
        let again = async { while signals.next().await != Instruction::Stop {} };
        tokio::select! {
            () = self.finish() => tracing::info!("Stopped"),
            () = again => tracing::warn!("Told again to stop: requests in flight are cut off"),
        }
    }

    /// Reloads in a task of its own, so that a slow name server does not delay the next signal.
    fn reload(&self) {
        let reloader = self.reloader.clone();
        tokio::spawn(async move {
            service_manager::reloading();
            // If the file is wrong, the reloader logs it and changes nothing.
            let reloaded = reloader.reload().await;
            service_manager::ready();
            reloaded.is_ok()
        });
    }

    fn refresh_certificates(&self) {
        for certificate in &self.certificates {
            if let Err(error) = certificate.refresh() {
                tracing::error!(%error, "Certificate can't be used; the old one stays in use");
            }
        }
    }

    /// Whether another process asks for the sockets. It may have just been started, so wait for it up to
    /// [`SUCCESSOR_LIMIT`].
    async fn has_successor(&self) -> bool {
        let limit = Instant::now() + SUCCESSOR_LIMIT;
        while !is_listened_on(&self.config.server.upgrade_socket) {
            if Instant::now() > limit {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// Waits until no connection is left, or until `drain_timeout` is over.
    async fn finish(&mut self) {
        wait_for_phase(&mut self.running, |phase| {
            matches!(phase, ExecutionPhase::ShutdownGracePeriod)
        })
        .await;
        let limit = Instant::now() + self.config.server.drain_timeout;
        let mut empty_looks = 0;
        while empty_looks < EMPTY_LOOKS {
            if Instant::now() > limit {
                let connections = self.running.occupants.count();
                return tracing::warn!(
                    connections,
                    "The time to finish is over: open connections are cut off"
                );
            }
            match self.running.occupants.count() {
                0 => empty_looks += 1,
                _ => empty_looks = 0,
            }
            sleep(LOOK).await;
        }
    }
}

/// Waits for the sockets of the running process. If no process hands over, pingora ends this process, and its own log
/// line comes too late; so an error is logged just before.
async fn wait_for_hand_over(running: &mut PingoraServer, config: &Config) {
    let socket = config.server.upgrade_socket.display();
    tracing::info!(%socket, "Waiting for the running process to hand over; it does on SIGQUIT");
    let done = wait_for_phase(running, |phase| {
        matches!(phase, ExecutionPhase::BootstrapComplete)
    });
    if timeout(HAND_OVER_LIMIT.saturating_sub(LOOK * 10), done)
        .await
        .is_err()
    {
        tracing::error!(%socket, "No process handed over its sockets");
    }
}

async fn wait_for_phase(running: &mut PingoraServer, reached: impl Fn(&ExecutionPhase) -> bool) {
    loop {
        match running.phases.recv().await {
            Ok(phase) if reached(&phase) => return,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
