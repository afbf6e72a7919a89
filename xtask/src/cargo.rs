//! Runs other tools, above all cargo, as visible steps.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::programs::output_of;
use crate::{paths, progress};

/// A cargo command in the repository's folder. It dies with us.
pub fn cargo<const N: usize>(args: [&str; N]) -> Command {
    with_cargo(Command::new(program()), args)
}

/// As [`cargo`], for a build beside another one: it takes only the processor time that the other leaves.
pub fn cargo_beside<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(program());
    with_cargo(command, args)
}

fn program() -> OsString {
    // The cargo that started us sets this variable, so we use the same cargo, whatever `PATH` says.
    env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

fn with_cargo<const N: usize>(mut command: Command, args: [&str; N]) -> Command {
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
    step(title, progress::run(title, command)).await
}

/// Starts the cargo command `command` beside a step that shows its progress. The returned future goes on with it as the
/// step `title`. If it fails, its output is shown at once; otherwise it is left out.
pub fn start_beside(
    title: String,
    mut command: Command,
) -> impl Future<Output = Result<()>> + use<> {
    command.stdin(Stdio::null());
    let build = tokio::spawn(async move {
        let output = command.output().await?;
        if !output.status.success() {
            progress::print(&String::from_utf8_lossy(&output.stderr));
        }
        std::io::Result::Ok(output.status)
    });
    async move {
        let work = async { Ok(build.await.context("waiting for cargo")??) };
        step(&title, progress::wait(&title, || None, work)).await
    }
}

/// Runs `command` to its end as the step `title`. Its output is shown as it comes.
///
/// # Errors
/// If it fails.
pub async fn run_step(title: &str, mut command: Command) -> Result<()> {
    let work = async { anyhow::Ok(command.status().await?) };
    step(title, progress::wait(title, || None, work)).await
}

/// As [`run_step`], beside a step that shows its progress. The output goes into the file `log`; the lines in between
/// say what `detail` makes of the last line there from which it makes something.
///
/// # Errors
/// If it fails.
pub async fn run_step_beside(
    title: &str,
    mut command: Command,
    log: &Path,
    detail: impl Fn(&str) -> Option<String>,
) -> Result<()> {
    let file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    command
        .stdout(file.try_clone().context("sharing a log")?)
        .stderr(file);
    let how_far = || {
        let said = fs::read(log).ok()?;
        let text = String::from_utf8_lossy(&said);
        text.lines().rev().find_map(&detail)
    };
    let work = async { anyhow::Ok(command.status().await?) };
    let done = step(title, progress::wait(title, how_far, work)).await;
    done.with_context(|| format!("{} says why", log.display()))
}

async fn step(title: &str, work: impl Future<Output = Result<ExitStatus>>) -> Result<()> {
    progress::print(&format!("▸ {title}"));
    let started = Instant::now();
    let status = work
        .await
        .with_context(|| format!("{title}: starting it"))?;
    ensure!(status.success(), "step `{title}` failed ({status})");
    let seconds = started.elapsed().as_secs_f32();
    progress::print(&format!("✓ {title:<47}  {seconds:>6.1} s"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_build_beside_another_is_at_work_before_it_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let built = folder.path().join("built");
        let build = start_beside(
            "build".to_owned(),
            shell(&format!("touch '{}'", built.display())),
        );
        let at_work = async {
            while !built.exists() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let at_work = tokio::time::timeout(Duration::from_secs(60), at_work).await;
        at_work.expect("it is at work");
        build.await.expect("it is built");
        let build = start_beside("build".to_owned(), shell("exit 3"));
        let error = build.await.expect_err("it failed");
        assert_eq!(error.to_string(), "step `build` failed (exit status: 3)");
    }
}
