//! The unit tests, built once more: with coverage for libFuzzer, and libFuzzer itself.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use xtask::cargo::cargo;
use xtask::paths;

/// A line of what cargo says.
#[derive(Deserialize)]
struct Message {
    target: Option<Crate>,
    /// The program that was built.
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
}

/// Builds them, and gives the program of each crate.
pub(super) async fn tests() -> Result<HashMap<String, PathBuf>> {
    // The whole workspace, whose dependencies are built by then. Only our own crates are compiled anew.
    let mut build = cargo(["test", "--workspace", "--lib", "--no-run"]);
    build
        .args(["--features", "store-fuzz/libfuzzer"])
        .arg("--message-format=json-render-diagnostics")
        .env(
            "RUSTC_WORKSPACE_WRAPPER",
            paths::root().join("fuzz/instrumented-rustc"),
        )
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
