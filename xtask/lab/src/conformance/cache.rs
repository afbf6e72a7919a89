//! `cargo xtask conformance cache`: runs http-cache-tests against the proxy's cache. docs/CONFORMANCE.md explains the
//! figures.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use testbed::new_folder;

use super::report::Report;
use super::run::{self, SETTINGS};
use xtask::build::PROXY_PACKAGE;
use xtask::setup::{self, COMPILING, NODE, PROCESSES};
use xtask::stop_signals::{INTERRUPTED, StopSignals};
use xtask::{build, npm, paths};

/// The files that npm reads; the second pins every package.
const NPM_FILES: [&str; 4] = [
    "package.json",
    "package-lock.json",
    ".npmrc",
    "no-npm/package.json",
];

/// Run the public tests for HTTP caches (npm's http-cache-tests) against the proxy, with every feature of its cache
/// switched on
///
/// Exits with 1 if a required test fails that docs/CONFORMANCE.md does not list as our choice.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run the tests of this checkout of github.com/http-tests/cache-tests, in which `npm install` was run, instead of
    /// npm's
    #[arg(long, value_name = "FOLDER")]
    suite: Option<PathBuf>,
    /// Test this `store-proxy` instead of building one
    #[arg(long, value_name = "PROGRAM")]
    proxy: Option<PathBuf>,
    /// Also write the results to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    // Listens before anything is started, so that a signal always ends what was started.
    let mut stop = StopSignals::new()?;
    tokio::select! {
        () = stop.next() => Ok(ExitCode::from(INTERRUPTED)),
        done = judge(options) => done,
    }
}

async fn judge(options: Options) -> Result<ExitCode> {
    setup::tools(&[COMPILING, PROCESSES, NODE]).await?;
    let suite = match options.suite {
        Some(folder) => {
            let tests = folder.join("tests/index.mjs");
            ensure!(tests.is_file(), "--suite: there is no {}", tests.display());
            folder.canonicalize().context("--suite")?
        }
        None => npm::ready("conformance", "docs/conformance", &NPM_FILES)
            .await?
            .join("node_modules/http-cache-tests"),
    };
    let proxy = match options.proxy {
        Some(program) => program,
        None => {
            build::programs(&[PROXY_PACKAGE]).await?;
            paths::program(PROXY_PACKAGE)
        }
    };
    let folder = new_folder(&paths::target().join("tmp"), "conformance")?;
    let report = Report::new(run::run(&suite, &proxy, &folder).await?);
    if let Some(file) = &options.json {
        report.write(file)?;
    }
    println!("settings: cache = {{ {SETTINGS} }}\n{report}");
    Ok(xtask::verdict(report.is_good()))
}
