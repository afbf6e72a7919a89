//! A child process: its log file, its end, and its death when the handle is dropped.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

use crate::polling::poll_until;
use crate::spawner;

/// How many lines of a log are shown after a failure.
const TAIL_LINES: usize = 40;

/// A running child process. Dropping it kills the child at once; a test that panics prints the end of the log first.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    /// Where this run's lines begin in the log: a restarted server appends to the same file.
    log_start: u64,
    /// Locked by the code that waits for, signals or drops the process.
    child: Mutex<Child>,
}

impl Process {
    /// Starts `command`, which `owned_command` made. Appends its output to `stdout` and to `log`.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        stdout: &Path,
        log: &Path,
    ) -> Result<Self> {
        let out = append_to(stdout)?;
        let err = append_to(log)?;
        let log_start = err.metadata().context("reading a log's length")?.len();
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = spawner::spawn(command).with_context(|| {
            format!("starting {name} (through `setpriv`, of Debian's util-linux)")
        })?;
        Ok(Self {
            name: name.to_owned(),
            log: log.to_owned(),
            log_start,
            child: Mutex::new(child),
        })
    }

    /// The name of the process in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.lock().id()
    }

    /// The file that the process's log is appended to.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The offset of this run's lines in that file, in bytes.
    pub fn log_start(&self) -> u64 {
        self.log_start
    }

    /// Everything that the process has logged since its start.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(self.log_start)
            .unwrap_or(0)
            .min(bytes.len());
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    /// The last lines of the log, indented for a message.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        if lines.is_empty() {
            return " (nothing)".to_owned();
        }
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        tail.iter().fold(String::new(), |mut text, line| {
            let _ = write!(text, "\n    {line}");
            text
        })
    }

    /// The exit status, if the process has ended.
    ///
    /// # Errors
    /// When the kernel can't say.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        let status = self.child.lock().try_wait();
        status.with_context(|| format!("asking whether {} still runs", self.name))
    }

    /// Fails with the end of the log if the process has ended.
    pub(crate) fn check_running(&self) -> Result<()> {
        if let Some(status) = self.exit_status()? {
            bail!(
                "{} ended early ({status}); its log ends with:{}",
                self.name,
                self.log_tail()
            );
        }
        Ok(())
    }

    /// Sends SIGTERM, unless the process has ended.
    ///
    /// # Errors
    /// When the signal can't be sent.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// Sends a signal, unless the process has ended.
    ///
    /// # Errors
    /// When the signal can't be sent.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child.lock();
        // The check reaps an ended child first: its id may belong to another process by now and must not get the
        // signal.
        if child.try_wait().context("looking at a child")?.is_none() {
            let pid = i32::try_from(child.id()).context("a process id is a positive i32")?;
            kill(Pid::from_raw(pid), signal)
                .with_context(|| format!("sending {signal} to {}", self.name))?;
        }
        Ok(())
    }

    /// Kills the process and waits until it is gone. This simulates a crash.
    pub fn kill(&self) {
        let mut child = self.child.lock();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// When the process still runs after `limit`.
    pub async fn wait_exit(&self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        poll_until(limit, &what, async || self.exit_status()).await
    }

    /// Sends SIGTERM, waits up to `limit`, then sends SIGKILL.
    ///
    /// # Errors
    /// When the process had to be killed.
    pub async fn stop(&self, limit: Duration) -> Result<ExitStatus> {
        self.terminate()?;
        let status = self.wait_exit(limit).await;
        if status.is_err() {
            self.kill();
        }
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!(
                "--- log of {} ({}):{}",
                self.name,
                self.log.display(),
                self.log_tail()
            );
        }
    }
}

/// Starts a program from `PATH`, and appends all its output to `log`.
///
/// # Errors
/// When the program can't be started.
pub fn start_program(name: &str, program: &str, args: &[String], log: &Path) -> Result<Process> {
    let mut command = spawner::owned_command(program);
    command.args(args);
    Process::start(name, command, log, log)
}

fn append_to(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("opening {}", path.display()))
}
