//! The programs that judge the HTTP contract, for the tests in `host/tests/it/contract.rs`: schemathesis and newman,
//! each in a folder of its own under `target`, with every package pinned.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::cargo::run_step;
use crate::paths;
use crate::python::Python;
use crate::setup::{self, NODE};

/// What npm reads. The second pins every package.
const NPM_FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// Makes sure that both are there.
///
/// # Errors
/// When a package can't be had.
pub(crate) async fn ready() -> Result<()> {
    Python::ready("contract", "docs/contract/requirements.txt").await?;
    newman().await
}

async fn newman() -> Result<()> {
    setup::tools(&[NODE]).await?;
    let pinned = read(&paths::root().join("docs/contract/package-lock.json"))?;
    let folder = paths::target().join("tools/newman");
    let marker = folder.join("made-from.json");
    if fs::read_to_string(&marker).is_ok_and(|made_from| made_from == pinned) {
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    for name in NPM_FILES {
        let text = read(&paths::root().join("docs/contract").join(name))?;
        write(&folder.join(name), &text)?;
    }
    let mut install = Command::new("npm");
    install
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .arg("--loglevel=error")
        .current_dir(&folder)
        .kill_on_drop(true);
    run_step("install newman", install).await?;
    // Written last: without it, what is there counts for nothing.
    write(&marker, &pinned)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
