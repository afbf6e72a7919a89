//! A booted root: it has its own systemd, processes and network.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::roots::Suite;
use super::{folder, passed};

/// The longest wait until a service is in the expected state.
const PATIENCE: Duration = Duration::from_secs(120);

/// The wait between two checks.
const LOOK: Duration = Duration::from_millis(200);

/// A running machine. Dropping it ends the machine.
pub(super) struct Machine {
    nspawn: Child,
    /// The process id of its first process, as seen from this machine.
    init: u32,
}

/// A command's exit code and output.
pub(super) struct CommandOutput {
    pub(super) code: Option<i32>,
    pub(super) text: String,
}

impl Machine {
    /// Boots `root` and waits until its services run.
    ///
    /// # Errors
    /// If the machine that we are on does not allow that, or a service fails.
    pub(super) fn boot(root: &Path, suite: Suite) -> Result<Self> {
        let console = folder().join("console.log");
        let log =
            File::create(&console).with_context(|| format!("creating {}", console.display()))?;
        let nspawn = Command::new("systemd-nspawn")
            .args(["--quiet", "--register=no", "--keep-unit", "--private-network", "--boot"])
            // Some machines still have version 1 of cgroups. Newer versions of systemd refuse it without both of these
            // settings.
            .arg("--setenv=SYSTEMD_PROC_CMDLINE=systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1")
            .arg("--directory")
            .arg(root)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing a log")?)
            .stderr(log)
            .spawn()
            .context("starting systemd-nspawn")?;
        let mut machine = Self { nspawn, init: 0 };
        machine.init = machine
            .first_process()
            .with_context(|| format!("{} says more", console.display()))?;
        machine.wait_for("systemctl is-active mariadb redis-server", "active\nactive")?;
        passed(&format!(
            "{suite} is booted, with MariaDB and Redis: {}",
            machine.sh("systemctl --version | head -1")?
        ));
        Ok(machine)
    }

    fn first_process(&mut self) -> Result<u32> {
        let id = self.nspawn.id();
        let children = format!("/proc/{id}/task/{id}/children");
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self
                .nspawn
                .try_wait()
                .context("looking at systemd-nspawn")?
            {
                bail!("systemd-nspawn ended ({status})");
            }
            let found = fs::read_to_string(&children).unwrap_or_default();
            let mut ids = found.split_whitespace().filter_map(|id| id.parse().ok());
            if let Some(first) = ids.find(|&id| is_first_of_its_own(id)) {
                return Ok(first);
            }
            sleep(LOOK);
        }
        bail!("systemd-nspawn started nothing")
    }

    /// Runs a shell command line in the machine.
    ///
    /// # Errors
    /// If the shell can't be started.
    pub(super) fn try_sh(&self, script: &str) -> Result<CommandOutput> {
        let output = Command::new("nsenter")
            .args(["--target", &self.init.to_string()])
            .args([
                "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--",
            ])
            .args([
                "env",
                "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL=C.UTF-8",
                "HOME=/root",
            ])
            .args([
                "DEBIAN_FRONTEND=noninteractive",
                "SYSTEMD_PAGER=",
                "sh",
                "-c",
                script,
            ])
            .stdin(Stdio::null())
            .output()
            .context("running nsenter")?;
        let text = [output.stdout, output.stderr].concat();
        Ok(CommandOutput {
            code: output.status.code(),
            text: String::from_utf8_lossy(&text).trim().to_owned(),
        })
    }

    /// Runs a command that must succeed, and returns its output.
    ///
    /// # Errors
    /// If the command fails.
    pub(super) fn sh(&self, script: &str) -> Result<String> {
        let said = self.try_sh(script)?;
        ensure!(
            said.code == Some(0),
            "`{script}` ends with {:?}: {}",
            said.code,
            said.text
        );
        Ok(said.text)
    }

    /// Runs a command again and again until its output is `expected`.
    ///
    /// # Errors
    /// If that does not happen in time.
    pub(super) fn wait_for(&self, script: &str, expected: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            let said = self.try_sh(script)?;
            if said.text == expected {
                return Ok(());
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "`{script}` says `{}`, never `{expected}`",
                said.text
            );
            sleep(LOOK);
        }
    }

    /// The value of a unit's property.
    ///
    /// # Errors
    /// If systemd can't be queried.
    pub(super) fn property(&self, unit: &str, name: &str) -> Result<String> {
        self.sh(&format!("systemctl show --value --property={name} {unit}"))
    }

    /// Checks that a unit has stopped for good with the exit code `code`, and has logged the reason in one line that
    /// contains these `parts`.
    ///
    /// # Errors
    /// If it has not, or if systemd restarts it again and again.
    pub(super) fn gave_up(&self, unit: &str, code: i32, parts: &[&str]) -> Result<()> {
        self.wait_for(&format!("systemctl is-active {unit}"), "failed")?;
        let (found, restarts) = (
            self.property(unit, "ExecMainStatus")?,
            self.property(unit, "NRestarts")?,
        );
        let said = self.sh(&format!("journalctl --unit={unit} --output=cat --lines=40"))?;
        ensure!(
            found == code.to_string(),
            "{unit} ended with {found}, not {code}: {said}"
        );
        ensure!(
            restarts == "0",
            "{unit} was started again {restarts} times: {said}"
        );
        let has_all = |line: &str| parts.iter().all(|part| line.contains(part));
        let line = said.lines().rev().find(|line| has_all(line));
        let line =
            line.with_context(|| format!("{unit} does not say {parts:?} in one line: {said}"))?;
        println!("    {code}  {line}");
        Ok(())
    }
}

/// Whether a process is the first in its own process namespace: at first, systemd-nspawn has another child.
fn is_first_of_its_own(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let ids: Vec<&str> = ids.unwrap_or_default().split_whitespace().collect();
    ids.len() > 1 && ids.last() == Some(&"1")
}

impl Drop for Machine {
    fn drop(&mut self) {
        // When the machine's first process ends, all its other processes end too.
        let _ = self.try_sh("systemctl poweroff --force --force");
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if matches!(self.nspawn.try_wait(), Ok(Some(_))) {
                return;
            }
            sleep(LOOK);
        }
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
    }
}
