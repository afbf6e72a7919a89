//! `store-native`, the twin of the components without WebAssembly, which they are measured against.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::process::Process;
use crate::program::{Run, absolute};
use crate::spawner::owned_command;
use crate::store::DataStore;

const START_LIMIT: Duration = Duration::from_secs(20);

/// What it says before its URL.
const LISTENING: &str = "listening on ";

/// A running `store-native`, killed on drop.
#[derive(Debug)]
pub struct Twin {
    /// Its process.
    pub process: Process,
    /// Where it answers, without a path.
    pub url: String,
}

impl Twin {
    /// Starts `program` as `name` in front of a store's servers, with further `flags`. If `cpus` are named, as `taskset`
    /// lists them, it keeps to those.
    ///
    /// # Errors
    /// When it doesn't start; the message has the end of its log.
    pub async fn start(
        store: &DataStore,
        name: &str,
        program: &Path,
        cpus: Option<&str>,
        flags: &[&str],
    ) -> Result<Self> {
        let program = absolute(program)?;
        let mut command = match cpus {
            None => owned_command(&program),
            Some(cpus) => {
                let mut command = owned_command("taskset");
                command.args(["--cpu-list", cpus]).arg(&program);
                command
            }
        };
        let addresses = store.addresses();
        command
            .args(["--listen", "127.0.0.1:0"])
            .args(["--mysql-url", addresses.mysql_url()])
            .args(["--redis-url", addresses.redis_url()])
            .args(flags);
        let run = Run::start(name, command, store.folder())?;
        let url = |said: &str| {
            let mut lines = said.lines();
            lines.find_map(|line| line.strip_prefix(LISTENING).map(str::to_owned))
        };
        let (process, url) = run.announced(START_LIMIT, url).await?;
        Ok(Self { process, url })
    }
}
