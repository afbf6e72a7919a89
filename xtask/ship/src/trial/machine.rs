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

    /// Runs a command that starts a unit, and checks that it fails: the unit has stopped for good with the exit code
    /// `code`, and its program has said why in one line, which contains these `parts`. Other lines are of its log.
    ///
    /// # Errors
    /// If it is not so, or if systemd restarts the unit again and again.
    pub(super) fn gives_up(
        &self,
        start: &str,
        unit: &str,
        code: i32,
        parts: &[&str],
    ) -> Result<()> {
        // The unit's own lines, without systemd's about it. Those from before are counted: systemd 252 leaves out the
        // first line after a cursor if it is asked for some lines only.
        let journal = format!(
            "journalctl --sync; journalctl --quiet --output=cat _SYSTEMD_UNIT={unit}.service"
        );
        let before = self.sh(&journal)?.lines().count();
        let started = self.try_sh(start)?;
        ensure!(
            started.code != Some(0),
            "`{start}` succeeds, and should not: {}",
            started.text
        );
        self.wait_for(&format!("systemctl is-active {unit}"), "failed")?;
        let (found, restarts) = (
            self.property(unit, "ExecMainStatus")?,
            self.property(unit, "NRestarts")?,
        );
        let program = unit.split('@').next().unwrap_or(unit);
        let all = self.sh(&journal)?;
        let said = all.lines().skip(before).collect::<Vec<_>>().join("\n");
        ensure!(
            found == code.to_string(),
            "after `{start}`, {unit} ended with {found}, not {code}: {said}"
        );
        ensure!(
            restarts == "0",
            "after `{start}`, {unit} was started again {restarts} times: {said}"
        );
        let line = the_reason(program, &said)
            .with_context(|| format!("after `{start}`, {unit} says: {said}"))?;
        for part in parts {
            ensure!(
                line.contains(part),
                "after `{start}`, {unit} says nothing of `{part}`: {line}"
            );
        }
        println!("    {code}  {line}");
        Ok(())
    }
}

/// The only line with which `program` says why it ends. All others must be lines of its log, and no errors.
fn the_reason<'a>(program: &str, said: &'a str) -> Result<&'a str> {
    let begin = format!("{program}: ");
    let (reasons, others): (Vec<&str>, Vec<&str>) = said
        .lines()
        .filter(|line| !line.is_empty())
        .partition(|line| line.starts_with(&begin));
    let is_log_line = |line: &&&str| line.contains(" INFO ") || line.contains(" WARN ");
    if let Some(line) = others.iter().find(|line| !is_log_line(line)) {
        bail!("a line that is neither its reason nor of its log: {line}");
    }
    match reasons[..] {
        [reason] => Ok(reason),
        _ => bail!("{} reasons instead of one", reasons.len()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_beside_those_of_the_log() {
        let log = "2026-11-30T09:00:00Z  INFO store_host: Loaded component `orders`";
        let reason = "store-host: spin.toml: not valid TOML";
        let one = format!("{log}\n{reason}\n");
        assert_eq!(the_reason("store-host", &one).ok(), Some(reason));
        for wrong in [
            log.to_owned(),
            format!("{reason}\n{reason}"),
            format!("{reason}\nthread 'main' panicked at"),
            format!("2026-11-30T09:00:00Z ERROR store_host: worse\n{reason}"),
        ] {
            assert!(the_reason("store-host", &wrong).is_err(), "{wrong}");
        }
    }
}
