//! A root that is booted: a systemd of its own, processes and network of its own.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::roots::Suite;
use super::{folder, passed};

/// Longest wait until a service is as it should be.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Ended with its owner.
pub(super) struct Machine {
    nspawn: Child,
    /// The id of its first process, as this machine counts.
    init: u32,
}

/// How a command ended, and what it said.
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
            // Newer ones refuse the older kind of cgroups, which some machines still have, unless they are told twice.
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

    /// Runs a shell's command line there.
    ///
    /// # Errors
    /// If it can't be started.
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

    /// The same for what must succeed; gives what it said.
    ///
    /// # Errors
    /// If it fails.
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

    /// Runs it again until it says `expected`.
    ///
    /// # Errors
    /// If it never does.
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

    /// What a unit's property is.
    ///
    /// # Errors
    /// If systemd can't be asked.
    pub(super) fn property(&self, unit: &str, name: &str) -> Result<String> {
        self.sh(&format!("systemctl show --value --property={name} {unit}"))
    }

    /// Checks that a unit has stopped for good with the exit code `code`, and said why in one line with these `parts`.
    ///
    /// # Errors
    /// If it has not, or runs in a loop.
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

/// Whether a process is the first one in a namespace of its own: systemd-nspawn has another child at first.
fn is_first_of_its_own(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let ids: Vec<&str> = ids.unwrap_or_default().split_whitespace().collect();
    ids.len() > 1 && ids.last() == Some(&"1")
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The end of its first process is the end of all others.
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
