//! Running other tools as visible steps, cargo above all.

use std::env;
use std::ffi::OsString;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::paths;

/// A cargo command in the repository's folder. It dies with us.
pub(crate) fn cargo<const N: usize>(args: [&str; N]) -> Command {
    // Set by the cargo that started us: the same one, whatever `PATH` says.
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command
        .args(args)
        .env("CARGO_TARGET_DIR", paths::target())
        .current_dir(paths::root())
        .kill_on_drop(true);
    command
}

/// Runs `command` to its end as the step `title`, its output shown as it comes.
pub(crate) async fn run_step(title: &str, mut command: Command) -> Result<()> {
    eprintln!("▸ {title}");
    let started = Instant::now();
    let status = command
        .status()
        .await
        .with_context(|| format!("{title}: starting it"))?;
    ensure!(status.success(), "step `{title}` failed ({status})");
    eprintln!("✓ {title:<47}  {:>6.1} s", started.elapsed().as_secs_f32());
    Ok(())
}
