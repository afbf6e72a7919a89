//! Programs from npm's registry, each in its own folder under `target`, with every package pinned.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::cargo::run_step;
use crate::paths;
use crate::setup::{self, NODE};

/// The file that pins every package.
const LOCK: &str = "package-lock.json";

/// Installs the packages that the files in `source`, a folder of this repository, name, unless they are installed.
/// Returns their folder. `files` are the files that npm reads, including the lock file.
///
/// # Errors
/// When a package can't be downloaded.
pub async fn ready(name: &str, source: &str, files: &[&str]) -> Result<PathBuf> {
    setup::tools(&[NODE]).await?;
    let source = paths::root().join(source);
    let pinned = read(&source.join(LOCK))?;
    let folder = paths::target().join("tools").join(name);
    let marker = folder.join("made-from.json");
    if fs::read_to_string(&marker).is_ok_and(|made_from| made_from == pinned) {
        return Ok(folder);
    }
    for file in files {
        write(&folder.join(file), &read(&source.join(file))?)?;
    }
    let mut install = Command::new("npm");
    install
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .arg("--loglevel=error")
        .current_dir(&folder)
        .kill_on_drop(true);
    run_step(&format!("install {name}"), install).await?;
    // Written last: a folder without this marker counts as incomplete.
    write(&marker, &pinned)?;
    Ok(folder)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
