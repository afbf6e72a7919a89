//! What starting a host and starting a proxy have in common: both print on stdout where they listen.

use std::env;
use std::fs;
use std::path::{self, Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::polling::poll_until;
use crate::process::Process;

/// A run of a program, with the file of its stdout.
pub(crate) struct Run {
    process: Process,
    stdout: PathBuf,
}

impl Run {
    /// Starts `command` under the name `name`. Its stdout and log go to files in `logs`.
    pub(crate) fn start(name: &str, command: Command, logs: &Path) -> Result<Self> {
        let stdout = logs.join(format!("{name}.out"));
        // The lines of an earlier run must not be taken for this run's.
        if stdout.exists() {
            fs::remove_file(&stdout).with_context(|| format!("removing {}", stdout.display()))?;
        }
        let log = logs.join(format!("{name}.log"));
        let process = Process::start(name, command, &stdout, &log)?;
        Ok(Self { process, stdout })
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Waits until `read` finds what it looks for on stdout. `read` gets complete lines only.
    pub(crate) async fn announced<T>(
        self,
        limit: Duration,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<(Process, T)> {
        let what = format!("the start of {}", self.process.name());
        let announced = poll_until(limit, &what, async || {
            // Read before checking the process: if it printed its lines and died, its user will notice.
            let announced = read(whole_lines(&self.said()));
            if announced.is_none() {
                self.process.check_running()?;
            }
            Ok(announced)
        })
        .await?;
        Ok((self.process, announced))
    }

    /// Waits until the program ends by itself. Returns its exit status and everything that it wrote.
    pub(crate) async fn end(self, limit: Duration) -> Result<(ExitStatus, String)> {
        let status = self.process.wait_exit(limit).await?;
        Ok((status, self.said() + &self.process.log()))
    }
}

fn whole_lines(said: &str) -> &str {
    said.rfind('\n').map_or("", |end| &said[..=end])
}

/// The absolute path of `path`, because the program may run in another folder than we do.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    path::absolute(path).with_context(|| format!("making {} absolute", path.display()))
}

/// Removes our own environment variables with these prefixes from the environment of `command`.
pub(crate) fn remove_settings(command: &mut Command, prefixes: &[&str]) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::whole_lines;

    #[test]
    fn a_line_counts_when_it_is_whole() {
        assert_eq!(whole_lines(""), "");
        assert_eq!(whole_lines("listening on http://127.0.0.1:80"), "");
        assert_eq!(whole_lines("one\ntwo\nthr"), "one\ntwo\n");
    }
}
