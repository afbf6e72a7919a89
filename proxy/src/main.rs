//! `store-proxy`: serves, or runs a command, most often on a running proxy.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use store_proxy::config;
use store_proxy::operate::cli::{Cli, Command, Serve};
use store_proxy::operate::client::{AdminClient, ClientError};
use store_proxy::operate::healthcheck::healthcheck;
use store_proxy::operate::take_up::{TakeUpOutcome, take_up};
use store_proxy::operate::upgrade::{UpgradeError, upgrade};
use store_proxy::server::{self, StartError};
use store_server::terminal::{arguments, succeed};
use store_server::{logging, manual, names};

/// With the system's allocator, the dozens of small allocations of a request took 15 % of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The program's name in its messages.
const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// The message after a reload that needs no upgrade.
const IN_FORCE: &str = "the settings are in force";

/// How long the process waits at its end for remaining tasks.
const ABANDON_AFTER: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    names::look_up_without_modules();
    let cli: Cli = match arguments(PROGRAM) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("can't start threads: {error}"), 1),
    };
    let code = runtime.block_on(async {
        match &cli.command {
            None if cli.serve.check => check(&cli.serve).await,
            None => serve(&cli.serve).await,
            Some(command) => operate(command, &cli.serve).await,
        }
    });
    runtime.shutdown_timeout(ABANDON_AFTER);
    code
}

async fn serve(settings: &Serve) -> ExitCode {
    let _logging = match logging::start(settings.log_format, &settings.log, "store_proxy=debug") {
        Ok(guard) => guard,
        Err(reason) => return fail(&reason, 2),
    };
    match server::serve(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit_code()),
    }
}

/// Prints the settings as they were understood.
async fn check(settings: &Serve) -> ExitCode {
    let understood = async {
        let config = config::load(&settings.config)?;
        let names = server::check(&config).await?;
        let text = config.to_toml();
        let text = text.map_err(|error| StartError::Internal(error.to_string()))?;
        Ok::<_, StartError>(text + &names)
    };
    match understood.await {
        Ok(text) => succeed(text.trim_end()),
        Err(error) => fail(&error, error.exit_code()),
    }
}

/// Runs an operator's command.
async fn operate(command: &Command, serve: &Serve) -> ExitCode {
    match command {
        Command::Upgrade { binary, target } => {
            let done = upgrade(serve, binary.as_deref(), target.admin.as_deref()).await;
            tell(done.map(TakeUpOutcome::Upgraded))
        }
        Command::Reload {
            or_upgrade: true,
            target,
        } => tell(take_up(serve, target).await),
        Command::Healthcheck => match healthcheck(&serve.config).await {
            Ok(()) => succeed("serving"),
            Err(error) => fail(&error, 1),
        },
        Command::Manual(args) => match manual::write::<Cli>(&args.folder) {
            Ok(done) => succeed(&done),
            Err(error) => fail(&error, 1),
        },
        command => match ask(command, &serve.config).await {
            Ok(text) => succeed(&text),
            Err(error) => fail(&error, 1),
        },
    }
}

fn tell(done: Result<TakeUpOutcome, UpgradeError>) -> ExitCode {
    match done {
        Ok(TakeUpOutcome::Reloaded) => succeed(IN_FORCE),
        Ok(TakeUpOutcome::Upgraded(done)) => succeed(&format!(
            "process {} serves; process {} finishes what it has begun",
            done.new, done.old
        )),
        Err(UpgradeError::Config(error)) => fail(&error, 2),
        Err(error) => fail(&error, 1),
    }
}

async fn ask(command: &Command, config: &Path) -> Result<String, ClientError> {
    let target = match command {
        Command::Reload { target, .. }
        | Command::Drain { target, .. }
        | Command::Undrain { target, .. }
        | Command::Purge { target }
        | Command::Status { target, .. }
        | Command::Upgrade { target, .. } => target,
        Command::Healthcheck | Command::Manual(_) => return Ok(String::new()),
    };
    let token = target.token(config).map_err(ClientError::Token)?;
    let proxy = AdminClient::new(target.admin.as_deref(), token)?;
    Ok(match command {
        Command::Drain {
            upstream, timeout, ..
        } => {
            proxy.drain(upstream, *timeout).await?;
            format!("{upstream} is drained")
        }
        Command::Undrain { upstream, .. } => {
            proxy.undrain(upstream).await?;
            format!("{upstream} gets requests again")
        }
        Command::Purge { .. } => format!("{} answers are forgotten", proxy.purge().await?),
        Command::Status { json: true, .. } => proxy.status_text().await?,
        Command::Status { .. } => proxy.status_table().await?,
        // `operate` handles the other commands.
        Command::Reload { .. }
        | Command::Upgrade { .. }
        | Command::Healthcheck
        | Command::Manual(_) => match proxy.reload().await? {
            sections if sections.is_empty() => IN_FORCE.into(),
            sections => format!(
                "the settings are in force, but {} changed, which needs `store-proxy upgrade`",
                sections.join(", ")
            ),
        },
    })
}

fn fail(reason: &dyn std::fmt::Display, code: u8) -> ExitCode {
    store_server::terminal::fail(PROGRAM, reason, code)
}
