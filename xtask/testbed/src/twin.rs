//! `store-native`: the components' logic compiled natively, without WebAssembly, as a baseline for measurements.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::process::Process;
use crate::program::{Run, absolute};
use crate::spawner::owned_command;
use crate::store::DataStore;

const START_LIMIT: Duration = Duration::from_secs(20);

/// The text before the URL in its output.
const LISTENING: &str = "listening on ";

/// A running `store-native`, killed on drop.
#[derive(Debug)]
pub struct Twin {
    /// The process of `store-native`.
    pub process: Process,
    /// The base URL, without a path.
    pub url: String,
}

impl Twin {
    /// Starts `program` under the name `name` in front of a store's servers, with further `flags`. With `cpus`, in the
    /// form of `taskset`, it runs only on those processors.
    ///
    /// # Errors
    /// When it doesn't start; the message contains the end of its log.
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
