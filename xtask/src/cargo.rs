//! Runs other tools, above all cargo, as visible steps.

use std::env;
use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::programs::output_of;
use crate::{paths, progress};

/// A cargo command in the repository's folder. It dies with us.
pub fn cargo<const N: usize>(args: [&str; N]) -> Command {
    // The cargo that started us sets this variable, so we use the same cargo, whatever `PATH` says.
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command
        .args(args)
        .env("CARGO_TARGET_DIR", paths::target())
        .current_dir(paths::root())
        .kill_on_drop(true);
    // The cargo that started us describes our own package in these variables. ring's build script would take them for a
    // change, and half of the dependencies would be rebuilt whenever cargo is run directly.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// A cargo command that builds what is shipped. It passes the commit on: the one in `STORE_COMMIT`, or else git's.
pub async fn cargo_dist<const N: usize>(args: [&str; N]) -> Command {
    let mut command = cargo(args);
    if env::var_os(COMMIT).is_none() {
        let git = [
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ];
        let said = output_of("git", &git).await;
        // Other output is an error message: there may be no git, or no repository.
        let is_commit = |c: char| c.is_ascii_hexdigit() || "-dirty".contains(c);
        if !said.is_empty() && said.chars().all(is_commit) {
            command.env(COMMIT, said);
        }
    }
    command
}

/// The variable that `server/build.rs` reads.
const COMMIT: &str = "STORE_COMMIT";

/// Runs the cargo command `command` to its end as the step `title`, and shows its progress.
///
/// # Errors
/// If it fails.
pub async fn cargo_step(title: &str, command: Command) -> Result<()> {
    step(title, progress::run(command)).await
}

/// Runs `command` to its end as the step `title`. Its output is shown as it comes.
///
/// # Errors
/// If it fails.
pub async fn run_step(title: &str, mut command: Command) -> Result<()> {
    step(title, async { Ok(command.status().await?) }).await
}

async fn step(title: &str, work: impl Future<Output = Result<ExitStatus>>) -> Result<()> {
    eprintln!("▸ {title}");
    let started = Instant::now();
    let status = work
        .await
        .with_context(|| format!("{title}: starting it"))?;
    ensure!(status.success(), "step `{title}` failed ({status})");
    eprintln!("✓ {title:<47}  {:>6.1} s", started.elapsed().as_secs_f32());
    Ok(())
}
