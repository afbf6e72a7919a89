//! `store-host`: serves an app, migrates its database, or runs another command.

#[cfg(feature = "jemalloc")]
use std::ffi::{CStr, c_char};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use store_host::cli::{Cli, Command, Migrate};
use store_host::config::Config;
use store_host::{Host, Reloader, StartError, client, databases};
use store_server::terminal::{arguments, say, succeed};
use store_server::{logging, manual, names, service_manager};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// jemalloc replaces glibc's allocator. For each thread, glibc keeps only seven free blocks of one size, which is fewer
/// than the requests that an instance serves at once.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc returns free memory to the system after half a second, in a background thread. Without this, the memory
/// that was used to compile a component would stay allocated. <https://jemalloc.net/jemalloc.3.html#tuning>
#[cfg(feature = "jemalloc")]
#[expect(unsafe_code, reason = "jemalloc looks for this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_SETTINGS: Option<&'static c_char> = {
    const TEXT: &CStr = c"background_thread:true,narenas:2,dirty_decay_ms:500,muzzy_decay_ms:0";
    // SAFETY: the text is static and is never written to.
    Some(unsafe { &*TEXT.as_ptr() })
};

/// The program's name in its messages.
const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// How long the process waits at its end for tasks that were cut off. A component in an endless loop never gives its
/// thread back.
const ABANDON_AFTER: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    names::look_up_without_modules();
    let cli: Cli = match arguments(PROGRAM) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("can't start threads: {error}"), 1),
    };
    let code = runtime.block_on(async {
        match cli.command {
            Some(Command::Migrate(migrate)) => migrate_all(migrate).await,
            Some(Command::Healthcheck(args)) => match client::healthcheck(&args).await {
                Ok(()) => succeed("ready"),
                Err(error) => fail(&error, 1),
            },
            Some(Command::Manual(args)) => match manual::write::<Cli>(&args.folder) {
                Ok(done) => succeed(&done),
                Err(error) => fail(&error, 1),
            },
            Some(Command::Client(command)) => operate(command).await,
            None => serve(&cli.config).await,
        }
    });
    runtime.shutdown_timeout(ABANDON_AFTER);
    code
}

/// How many tasks a thread runs between two polls of timers and sockets. Each task may run a component for up to a
/// millisecond, so with tokio's default of 61, events could wait for 61 ms.
const EVENT_INTERVAL: u32 = 16;

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .event_interval(EVENT_INTERVAL)
        .enable_all()
        .build()
}

async fn serve(config: &Config) -> ExitCode {
    let _logging = match logging::start(config.log_format, &config.log, "guest=warn") {
        Ok(guard) => guard,
        Err(reason) => return fail(&reason, 2),
    };
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit_code()),
    }
}

async fn run(config: &Config) -> Result<(), StartError> {
    // Signals are caught before anything is started, so that none has its default effect.
    let mut signals = Signals::catch().map_err(|error| StartError::Internal(error.to_string()))?;
    let host = Host::start(config).await?;
    announce(&host)?;
    service_manager::ready();
    let _ended_on_drop = service_manager::show_life();
    // A reload that waits begins after every signal that came before, so one is enough for them all.
    let (reloads, asked) = mpsc::channel(1);
    tokio::spawn(reload_each(host.reloader(), asked));
    host.serve(async {
        signals.stop(&reloads).await;
        service_manager::stopping();
    })
    .await;
    tracing::info!("Stopped");
    Ok(())
}

/// The signals of the system and of operators.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Resolves at SIGTERM or SIGINT. Until then, SIGHUP asks for a reload of the app.
    async fn stop(&mut self, reloads: &mpsc::Sender<()>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    // If one waits already, that is enough.
                    _ = reloads.try_send(());
                }
            }
        }
    }
}

/// Reloads the app each time that is `asked` for, one time after the other. This runs in a task of its own, so that a
/// slow database does not delay the next signal.
async fn reload_each(reloader: Reloader, mut asked: mpsc::Receiver<()>) {
    while asked.recv().await.is_some() {
        service_manager::reloading();
        reloader.reload().await;
        service_manager::ready();
    }
}

/// Prints two lines on stdout, for people, and for scripts that start a host on port 0.
fn announce(host: &Host) -> Result<(), StartError> {
    let address = host.address()?;
    let admin = host.admin_address();
    // Stdout may be closed, which is no reason to stop.
    _ = writeln!(
        std::io::stdout(),
        "listening on http://{address}\nadmin on {admin}"
    );
    Ok(())
}

async fn migrate_all(settings: Migrate) -> ExitCode {
    let urls = match settings.mysql_url {
        Some(url) => vec![url.0],
        None => match databases(&settings.app, &settings.variable_file) {
            Ok(urls) => urls,
            Err(error) => {
                let error = StartError::App(error);
                return fail(&error, error.exit_code());
            }
        },
    };
    for url in urls {
        match store_host::migrate(&url, &settings.tls).await {
            Ok(applied) if applied.is_empty() => say("the database is up to date"),
            Ok(applied) => say(&format!("applied {}", applied.join(", "))),
            Err(error) => return fail(&error, error.exit_code()),
        }
    }
    ExitCode::SUCCESS
}

/// Runs an operator's command on hosts that run elsewhere.
async fn operate(command: client::Command) -> ExitCode {
    match client::run(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit_code()),
    }
}

fn fail(reason: &dyn std::fmt::Display, code: u8) -> ExitCode {
    store_server::terminal::fail(PROGRAM, reason, code)
}
