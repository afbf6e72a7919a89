//! Builds the unit tests once more, with coverage for libFuzzer and with libFuzzer itself.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use xtask::cargo::cargo;
use xtask::paths;

/// A line of cargo's JSON output.
#[derive(Deserialize)]
struct Message {
    target: Option<Crate>,
    /// The path of the program that was built.
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
}

/// Builds the tests, and returns the path of each crate's test program.
pub(super) async fn tests() -> Result<HashMap<String, PathBuf>> {
    // The whole workspace, because its dependencies are built already; only our own crates are compiled again.
    let mut build = cargo(["test", "--workspace", "--lib", "--no-run"]);
    build
        .args(["--features", "store-fuzz/libfuzzer"])
        .arg("--message-format=json-render-diagnostics")
        .env("RUSTC_WORKSPACE_WRAPPER", wrapper()?)
        .stderr(Stdio::inherit());
    eprintln!("▸ build the tests with libFuzzer");
    let output = build.output().await.context("starting cargo")?;
    ensure!(output.status.success(), "the tests don't build");
    let said = String::from_utf8_lossy(&output.stdout);
    let messages = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok());
    Ok(messages
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .collect())
}

/// A copy of `fuzz/instrumented-rustc` whose name has a hash of its text. Cargo builds anew if the wrapper's path
/// changes, but not if its text does: after an edit, crates would stay as they were, without their counters.
fn wrapper() -> Result<PathBuf> {
    let script = paths::root().join("fuzz/instrumented-rustc");
    let text = fs::read(&script).with_context(|| format!("reading {}", script.display()))?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let folder = paths::target().join("fuzz");
    let copy = folder.join(format!("instrumented-rustc-{:016x}", hasher.finish()));
    // Another `fuzz` may be running it, so it is not written again.
    if !copy.exists() {
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        fs::copy(&script, &copy).with_context(|| format!("writing {}", copy.display()))?;
    }
    Ok(copy)
}
