//! The machine and the program versions of a run, so that readers can compare two reports.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::measure::{commit, processor};
use xtask::paths;
use xtask::programs::find_program;

/// A description of the machine and the programs. Texts that can't be found out are empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) commit: String,
    pub(crate) rustc: String,
    pub(crate) mariadb: String,
    pub(crate) redis: String,
    pub(crate) locust: String,
    /// The paths of the host and the proxy.
    pub(crate) host: String,
    pub(crate) proxy: String,
}

impl About {
    /// Collects the description from the machine and the programs.
    pub(crate) async fn this_machine(programs: &Programs<'_>) -> Self {
        let mariadb = find_program("mariadbd").unwrap_or_default();
        let redis = find_program("redis-server").unwrap_or_default();
        Self {
            processor: processor(),
            processors: available_parallelism().map_or(0, usize::from),
            memory_bytes: memory_bytes(),
            kernel: said_by(Path::new("uname"), &["-sr"]).await,
            commit: commit().await,
            rustc: said_by(Path::new("rustc"), &["--version"]).await,
            mariadb: said_by(&mariadb, &["--version"]).await,
            redis: said_by(&redis, &["--version"]).await,
            locust: said_by(programs.python, &["-m", "locust", "--version"]).await,
            host: in_repository(programs.host),
            proxy: in_repository(programs.proxy),
        }
    }
}

/// The programs of a run.
pub(crate) struct Programs<'a> {
    pub(crate) host: &'a Path,
    pub(crate) proxy: &'a Path,
    pub(crate) python: &'a Path,
}

/// The path relative to the repository's folder, because a report must not tell where that folder is.
fn in_repository(path: &Path) -> String {
    let shown = path.strip_prefix(paths::root()).unwrap_or(path);
    shown.display().to_string()
}

/// The first line of a program's version output, shortened to what matters.
async fn said_by(program: &Path, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args).current_dir(paths::root());
    let Ok(output) = command.kill_on_drop(true).output().await else {
        return String::new();
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().next().unwrap_or_default();
    let line = line.split(" from ").next().unwrap_or_default();
    let line = line.rsplit_once('/').map_or(
        line,
        |(folders, name)| {
            if folders.contains(' ') { line } else { name }
        },
    );
    line.split(" sha=")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
