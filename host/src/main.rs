//! `store-host`: serves an app, or migrates its database.

#[cfg(feature = "jemalloc")]
use std::ffi::{CStr, c_char};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use store_host::cli::{Cli, Command};
use store_host::config::{Config, MysqlTls};
use store_host::{Host, StartError, client};
use store_server::console::{arguments, succeed};
use store_server::logging;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// jemalloc instead of glibc's allocator, which keeps seven free pieces of a size for each thread: fewer than the requests that
/// an instance serves at once.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Free memory goes back to the system after half a second, from a thread of its own; that of compiling a component would
/// otherwise stay. <https://jemalloc.net/jemalloc.3.html#tuning>
#[cfg(feature = "jemalloc")]
#[expect(unsafe_code, reason = "jemalloc looks for this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_SETTINGS: Option<&'static c_char> = {
    const TEXT: &CStr = c"background_thread:true,narenas:2,dirty_decay_ms:500,muzzy_decay_ms:0";
    // SAFETY: the text lives for ever, and is not written to.
    Some(unsafe { &*TEXT.as_ptr() })
};

/// The program's name in its messages.
const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// How long the process waits at its end for tasks that were cut off: a component in an endless loop never frees its thread.
const ABANDON_AFTER: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
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
            Some(Command::Migrate { mysql_url, tls }) => migrate(&mysql_url.0, &tls).await,
            Some(Command::Client(command)) => operate(command).await,
            None => serve(&cli.config).await,
        }
    });
    runtime.shutdown_timeout(ABANDON_AFTER);
    code
}

/// How many tasks a thread runs between two looks at timers and sockets. Each may take the millisecond for which a component
/// may compute at a time: with tokio's 61, what arrives would wait for 61 ms.
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
    let internal = |error: std::io::Error| StartError::Internal(error.to_string());
    // Before anything is started, or a signal would end the process by its default action.
    let mut terminate = signal(SignalKind::terminate()).map_err(internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(internal)?;
    let host = Host::start(config).await?;
    announce(&host)?;
    host.serve(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await;
    tracing::info!("Stopped");
    Ok(())
}

/// Prints two lines on stdout, for people and for scripts that start a host on port 0.
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

async fn migrate(url: &str, tls: &MysqlTls) -> ExitCode {
    match store_host::migrate(url, tls).await {
        Ok(applied) if applied.is_empty() => succeed("the database is up to date"),
        Ok(applied) => succeed(&format!("applied {}", applied.join(", "))),
        Err(error) => fail(
            &error,
            match error {
                store_host::MigrateError::Url(_) | store_host::MigrateError::Tls(_) => 2,
                _ => 1,
            },
        ),
    }
}

/// Carries out an operator's command on hosts that run elsewhere.
async fn operate(command: client::Command) -> ExitCode {
    match client::run(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit_code()),
    }
}

fn fail(reason: &dyn std::fmt::Display, code: u8) -> ExitCode {
    store_server::console::fail(PROGRAM, reason, code)
}
