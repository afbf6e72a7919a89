//! Puts a changed file in force while requests go on.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::config::{self, Config, ConfigError};
use crate::request::access_log::AccessLog;
use crate::table::live::LiveTable;

/// Reads the file again, on a signal or a command.
pub(crate) struct Reloader {
    file: PathBuf,
    /// The settings that the process was started with; some can't change while it runs.
    at_start: Config,
    live: Arc<LiveTable>,
    access_log: Arc<AccessLog>,
    /// Held while a file is read and put in force, so that the reload that begins last decides.
    turn: Mutex<()>,
}

impl Reloader {
    pub(crate) fn new(
        file: PathBuf,
        at_start: Config,
        live: Arc<LiveTable>,
        access_log: Arc<AccessLog>,
    ) -> Self {
        Self {
            file,
            at_start,
            live,
            access_log,
            turn: Mutex::default(),
        }
    }

    /// Puts the file in force. Returns the sections that changed but need a new process.
    ///
    /// # Errors
    /// What is wrong with the file. Nothing changes then.
    pub(crate) async fn reload(&self) -> Result<Vec<&'static str>, ConfigError> {
        let _turn = self.turn.lock().await;
        // An operator who has moved the log file away reloads to get a new one.
        self.access_log.reopen();
        let file = self.file.clone();
        // In a thread for blocking calls, as `load` reads files.
        let loaded = tokio::task::spawn_blocking(move || config::load(&file)).await;
        let loaded = loaded.unwrap_or_else(|error| {
            Err(ConfigError::Unreadable {
                file: self.file.clone(),
                error: std::io::Error::other(error),
            })
        });
        match loaded {
            Ok(config) => {
                // Look names up before the table is replaced, so that a new group has its servers from the beginning.
                self.live.names.ask_for_all(&config).await;
                Ok(self.take_up(&config))
            }
            Err(error) => {
                self.live.metrics.reload_failed();
                tracing::error!(%error, "Settings are wrong; the old ones stay in force");
                Err(error)
            }
        }
    }

    fn take_up(&self, config: &Config) -> Vec<&'static str> {
        self.live.reload(config);
        self.live.metrics.reloaded();
        let not_taken_up = needs_new_process(&self.at_start, config);
        tracing::info!("Settings read again");
        if !not_taken_up.is_empty() {
            tracing::warn!(
                sections = not_taken_up.join(", "),
                "Some settings that changed take effect only after an upgrade or a restart"
            );
        }
        not_taken_up
    }
}

fn needs_new_process(old: &Config, new: &Config) -> Vec<&'static str> {
    let off = |config: &Config| config.compression.gzip == 0 && config.compression.brotli == 0;
    [
        ("[server]", old.server != new.server),
        ("[[listen]]", old.listen != new.listen),
        ("[access_log]", old.access_log != new.access_log),
        ("[trace]", old.trace != new.trace),
        ("[console]", old.console != new.console),
        ("[compression]", off(old) && !off(new)),
    ]
    .into_iter()
    .filter_map(|(section, changed)| changed.then_some(section))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_that_need_a_new_process_are_named() {
        let old = Config::default();
        let mut new = old.clone();
        new.limits.body_bytes = 1;
        new.retry.max_tries = 1;
        assert!(needs_new_process(&old, &new).is_empty());
        new.server.threads += 1;
        new.compression.gzip = 1;
        assert_eq!(needs_new_process(&old, &new), ["[server]", "[compression]"]);
        new.compression.gzip = 2;
        let old = new.clone();
        new.compression.brotli = 1;
        assert!(needs_new_process(&old, &new).is_empty());
    }
}
