//! A container of a bundle, started by a container runtime or, failing that, in a chroot.

use std::fmt;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xtask::programs::find_program;

use super::bundle::{Bundle, NOBODY};

/// How long to wait for health; the first start compiles the components.
const PATIENCE: Duration = Duration::from_secs(120);

/// The wait between two checks.
const LOOK: Duration = Duration::from_millis(300);

/// What starts containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runner {
    Crun,
    Runc,
    /// A chroot: the root is not read-only, and there are no namespaces.
    Chroot,
}

/// A running container. Dropping it ends the container.
pub(super) struct Container<'a> {
    runner: Runner,
    bundle: &'a Bundle,
    settings: Vec<String>,
    child: Child,
}

impl Runner {
    fn program(self) -> &'static str {
        match self {
            Self::Crun => "crun",
            Self::Runc => "runc",
            Self::Chroot => "chroot",
        }
    }

    /// How strictly the programs are confined, for the report.
    pub(super) fn strictness(self) -> &'static str {
        match self {
            Self::Crun | Self::Runc => "on a read-only root, without a capability",
            Self::Chroot => "on a root that they could not write to",
        }
    }

    /// The strictest runner that can start the program of `bundle` on this machine.
    ///
    /// # Errors
    /// If not even a chroot can.
    pub(super) fn of_this_machine(bundle: &Bundle) -> Result<Self> {
        let mut reasons = Vec::new();
        for runner in [Self::Crun, Self::Runc, Self::Chroot] {
            if find_program(runner.program()).is_none() {
                reasons.push(format!("no {runner}"));
                continue;
            }
            match runner.run_once(bundle, &[&bundle.command[0], "--version"], &[]) {
                Ok(_) => {
                    if !reasons.is_empty() {
                        println!("    started by {runner}, because: {}", reasons.join("; "));
                    }
                    return Ok(runner);
                }
                Err(error) => reasons.push(format!("{error:#}")),
            }
        }
        bail!("nothing starts containers here: {}", reasons.join("; "))
    }

    /// Runs a command of the image to its end, and returns its output.
    ///
    /// # Errors
    /// If the command fails.
    pub(super) fn run_once(
        self,
        bundle: &Bundle,
        command: &[&str],
        settings: &[String],
    ) -> Result<String> {
        let output = self.command(bundle, "once", command, settings)?.output();
        let output = output.with_context(|| format!("running {self}"))?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        ensure!(
            output.status.success(),
            "{self}: {command:?} ends with {}: {text}",
            output.status
        );
        Ok(text)
    }

    fn command(
        self,
        bundle: &Bundle,
        id: &str,
        command: &[&str],
        settings: &[String],
    ) -> Result<Command> {
        let mut runner = Command::new(self.program());
        if self == Self::Chroot {
            runner
                .arg(format!("--userspec={NOBODY}:{NOBODY}"))
                .arg(&bundle.root)
                .args(command)
                .env_clear();
            runner.envs(
                bundle
                    .env
                    .iter()
                    .chain(settings)
                    .filter_map(|pair| pair.split_once('=')),
            );
            return Ok(runner);
        }
        let spec = serde_json::to_vec_pretty(&bundle.spec(command, settings))?;
        fs::write(bundle.folder.join("config.json"), spec)
            .context("writing a container's settings")?;
        runner
            .args(["run", "--bundle"])
            .arg(&bundle.folder)
            .arg(bundle.id(id));
        Ok(runner)
    }
}

impl fmt::Display for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

impl<'a> Container<'a> {
    /// Starts the image's default command.
    ///
    /// # Errors
    /// If the command can't be started.
    pub(super) fn start(runner: Runner, bundle: &'a Bundle, settings: &[String]) -> Result<Self> {
        let command: Vec<&str> = bundle.command.iter().map(String::as_str).collect();
        let log = bundle.folder.join("log");
        let log = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let child = runner
            .command(bundle, "serving", &command, settings)?
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing a log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {runner}"))?;
        let settings = settings.to_vec();
        Ok(Self {
            runner,
            bundle,
            settings,
            child,
        })
    }

    /// Waits until the image's health check succeeds.
    ///
    /// # Errors
    /// If it does not succeed in time.
    pub(super) fn wait_until_healthy(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.check() {
                Ok(()) => return Ok(()),
                Err(error) if began.elapsed() > PATIENCE => {
                    let log =
                        fs::read_to_string(self.bundle.folder.join("log")).unwrap_or_default();
                    return Err(error.context(log));
                }
                Err(_) => sleep(LOOK),
            }
        }
    }

    /// Runs the image's health check inside the container, as an engine would.
    fn check(&self) -> Result<()> {
        let check = [self.bundle.command[0].as_str(), "healthcheck"];
        if self.runner == Runner::Chroot {
            return self
                .runner
                .run_once(self.bundle, &check, &self.settings)
                .map(drop);
        }
        let output = Command::new(self.runner.program())
            .arg("exec")
            .arg(self.bundle.id("serving"))
            .args(check)
            .output()
            .context("running a health check")?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&said).trim()
        );
        Ok(())
    }

    /// Stops the container as an engine would.
    ///
    /// # Errors
    /// If the container doesn't end by itself.
    pub(super) fn stop(mut self) -> Result<()> {
        self.terminate();
        let status = self.child.wait().context("waiting for a container")?;
        ensure!(
            status.success(),
            "{} ended with {status}",
            self.bundle.program
        );
        Ok(())
    }

    fn terminate(&self) {
        if self.runner == Runner::Chroot {
            if let Ok(id) = i32::try_from(self.child.id()) {
                let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
            }
            return;
        }
        let mut runner = Command::new(self.runner.program());
        let _ = runner
            .arg("kill")
            .arg(self.bundle.id("serving"))
            .arg("TERM")
            .status();
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
            let _ = self.child.wait();
        }
    }
}
