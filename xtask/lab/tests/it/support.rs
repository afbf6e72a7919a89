//! Where things are, and how `lab` is run.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use testbed::new_folder;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Longest time for anything that is bound to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .and_then(Path::parent)
        .unwrap()
}

/// A new folder for one test's files.
pub(crate) fn folder() -> PathBuf {
    new_folder(Path::new(env!("CARGO_TARGET_TMPDIR")), "lab").unwrap()
}

/// A program beside ours. Cargo builds it with the workspace's tests, and not with ours alone.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_lab")).with_file_name(name);
    assert!(path.exists(), "build it first: cargo build -p {name}");
    path
}

/// `lab` with these arguments, killed with the test.
pub(crate) fn start(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Its end: the exit code, and all it said.
pub(crate) async fn run(args: &[&str]) -> (Option<i32>, String) {
    said(start(args).wait_with_output().await.unwrap())
}

pub(crate) fn said(output: Output) -> (Option<i32>, String) {
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stdout + &stderr)
}

/// Looks again until there is something, for at most [`PATIENCE`].
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
