//! `store-proxy upgrade`: a new process takes over the sockets, and the old one finishes its requests.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use super::cli::Serve;
use super::client::{AdminClient, ClientError};
use super::pid_file;
use crate::config::{self, ConfigError, Server};
use store_server::logging::LogFormat;

/// Longest wait until the new process asks for the sockets. Before that, it reads its file and certificates.
const START_LIMIT: Duration = Duration::from_secs(15);

/// Longest wait until the new process answers, counted from when the old one was told to hand over.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(15);

/// How long a process that has handed over may still answer beside the new one; it listens for five more seconds.
const BOTH_ANSWER: Duration = Duration::from_secs(10);

/// Time between two checks of a condition.
const LOOK: Duration = Duration::from_millis(20);

/// Why an upgrade failed, or may have failed.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The settings are wrong; nothing was begun.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No running process can be asked to hand over.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The pid file names another process than the one that answers.
    #[error("process {answering} answers, but {} names {}", file.display(), named(*.in_file))]
    WrongPid {
        /// The process that answers.
        answering: u32,
        /// The pid file.
        file: PathBuf,
        /// The process id in the file.
        in_file: Option<u32>,
    },
    /// The new process can't be started.
    #[error("{} can't be started: {error}", binary.display())]
    Start {
        /// The program.
        binary: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The new process ended; the log has its reasons.
    #[error("the new process ended ({0}); {1}")]
    Ended(std::process::ExitStatus, &'static str),
    /// The new process did not ask for the sockets in time and was stopped.
    #[error(
        "the new process did not ask for the sockets in time and was stopped; the old one goes on"
    )]
    NotReady,
    /// The signal to hand over can't be sent to the old process.
    #[error("process {0} can't be told to hand over: {1}")]
    Signal(u32, nix::Error),
    /// The old process was told to hand over, but the new one does not answer.
    #[error("the new process {0} does not answer; look at its log")]
    Silent(u32),
}

fn named(pid: Option<u32>) -> String {
    pid.map_or_else(|| "none".into(), |pid| pid.to_string())
}

/// The processes before and after an upgrade.
pub struct Handover {
    /// The old process. It finishes its requests, and ends.
    pub old: u32,
    /// The new process. It serves.
    pub new: u32,
}

/// Starts `binary` (by default this program), waits until it is ready, tells the running process to hand over, and
/// waits until the new one answers.
///
/// # Errors
/// See [`UpgradeError`]. The old process goes on, unless the error says otherwise.
pub async fn upgrade(
    serve: &Serve,
    binary: Option<&Path>,
    admin: Option<&str>,
) -> Result<Handover, UpgradeError> {
    let server = config::load(&serve.config)?.server;
    let running = match admin {
        Some(admin) => AdminClient::new(Some(admin), None)?,
        None => AdminClient::at(server.admin, None)?,
    };
    let old = serving(&running, &server).await?;
    let mut new = start(serve, binary, old)?;
    wait_until_ready(&mut new, &server).await?;
    // Process ids always fit into an `i32`.
    let old_pid = Pid::from_raw(i32::try_from(old).unwrap_or(i32::MAX));
    if let Err(error) = kill(old_pid, Signal::SIGQUIT) {
        stop(&mut new);
        return Err(UpgradeError::Signal(old, error));
    }
    let new = wait_until_serving(new, &server).await?;
    Ok(Handover { old, new })
}

/// The id of the process that serves. For a moment after a hand-over, the previous process may still answer in its
/// place.
async fn serving(running: &AdminClient, server: &Server) -> Result<u32, UpgradeError> {
    let limit = Instant::now() + BOTH_ANSWER;
    loop {
        let answering = running.status().await?.pid;
        let in_file = pid_file::read(&server.pid_file);
        if in_file == Some(answering) {
            return Ok(answering);
        }
        if in_file.is_none() || Instant::now() > limit {
            return Err(UpgradeError::WrongPid {
                answering,
                file: server.pid_file.clone(),
                in_file,
            });
        }
        sleep(LOOK).await;
    }
}

fn start(serve: &Serve, binary: Option<&Path>, old: u32) -> Result<Child, UpgradeError> {
    let failed = |binary: &Path, error| UpgradeError::Start {
        binary: binary.to_owned(),
        error,
    };
    let binary = match binary {
        Some(binary) => binary.to_owned(),
        None => {
            std::env::current_exe().map_err(|error| failed(Path::new("this program"), error))?
        }
    };
    let format = match serve.log_format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let mut command = Command::new(&binary);
    // A service manager that watches for signs of life from the old process will expect them from the new one.
    if let Some(watchdog) = variable_of(old, "WATCHDOG_USEC") {
        command
            .env_remove("WATCHDOG_PID")
            .env("WATCHDOG_USEC", watchdog);
    }
    command
        .arg("--upgrade")
        .arg("--config")
        .arg(&serve.config)
        .args(["--log", &serve.log, "--log-format", format])
        // Remove variables of this command, as they would act as flags of the new process.
        .env_remove("STORE_PROXY_CHECK")
        .env_remove("STORE_PROXY_OR_UPGRADE")
        .stdin(Stdio::null())
        .stdout(output_of(old, 1))
        .stderr(output_of(old, 2))
        // A new process group: stopping this command, or closing its terminal, must not stop the new process.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(&binary, error))
}

/// The output of the old process, so that logs continue in the same place; this process's own output if that can't be
/// opened.
fn output_of(pid: u32, descriptor: u32) -> Stdio {
    OpenOptions::new()
        .append(true)
        .open(format!("/proc/{pid}/fd/{descriptor}"))
        .map_or_else(|_| Stdio::inherit(), Stdio::from)
}

/// A variable in the environment with which another process was started.
fn variable_of(pid: u32, name: &str) -> Option<OsString> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|&byte| byte == 0);
    variables.find_map(|variable| {
        let value = variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(OsString::from_vec(value.to_vec()))
    })
}

async fn wait_until_ready(new: &mut Child, server: &Server) -> Result<(), UpgradeError> {
    let limit = Instant::now() + START_LIMIT;
    while !is_listened_on(&server.upgrade_socket) {
        if let Ok(Some(status)) = new.try_wait() {
            return Err(UpgradeError::Ended(status, "the old one goes on"));
        }
        if Instant::now() > limit {
            stop(new);
            return Err(UpgradeError::NotReady);
        }
        sleep(LOOK).await;
    }
    Ok(())
}

async fn wait_until_serving(mut new: Child, server: &Server) -> Result<u32, UpgradeError> {
    let client = AdminClient::at(server.admin, None)?;
    let limit = Instant::now() + TAKEOVER_LIMIT;
    loop {
        // For a few seconds, either process may answer.
        let answering = client.status().await.map(|status| status.pid);
        let in_file = pid_file::read(&server.pid_file);
        if answering.is_ok_and(|pid| pid == new.id()) && in_file == Some(new.id()) {
            return Ok(new.id());
        }
        if let Ok(Some(status)) = new.try_wait() {
            return Err(UpgradeError::Ended(
                status,
                "see whether the old one still serves",
            ));
        }
        if Instant::now() > limit {
            return Err(UpgradeError::Silent(new.id()));
        }
        sleep(LOOK).await;
    }
}

/// Kills the new process before it has taken over anything.
fn stop(new: &mut Child) {
    _ = new.kill();
    _ = new.wait();
}

/// Whether a process listens on this Unix socket. Connecting to it would show that too, but the listening process would
/// take that connection for the hand-over.
pub(crate) fn is_listened_on(path: &Path) -> bool {
    let Ok(sockets) = std::fs::read_to_string("/proc/net/unix") else {
        return false;
    };
    let Some(path) = path.to_str() else {
        return false;
    };
    // The columns are Num RefCount Protocol Flags Type St Inode Path; the flag 00010000 stands for listening.
    let listening: HashSet<&str> = sockets
        .lines()
        .filter(|line| line.split_whitespace().nth(3) == Some("00010000"))
        .filter_map(|line| Some(line.split_once('/')?.1))
        .collect();
    path.strip_prefix('/')
        .is_some_and(|path| listening.contains(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_is_listened_on_while_somebody_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a socket");
        assert!(!is_listened_on(&path));
        let listener = UnixListener::bind(&path).expect("binds");
        assert!(is_listened_on(&path));
        drop(listener);
        assert!(path.exists() && !is_listened_on(&path));
    }
}
