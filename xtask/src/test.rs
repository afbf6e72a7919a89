//! `cargo xtask test`: everything that CI runs; what fails fastest comes first.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use xtask::cargo::{cargo, cargo_step};
use xtask::mysql::{self, TestMysql};
use xtask::python::Python;
use xtask::setup::{self, BROWSER, COMPILING, MARIADB, PROCESSES, PROMETHEUS, REDIS};
use xtask::{build, contract, deny, kubernetes};

/// Check format, dependencies, lints and docs, build everything, run every test; stops at the first step that fails
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run only the tests whose name contains this
    filter: Option<String>,
    /// Run the tests on MySQL instead of MariaDB: a mysqld, the folder of an unpacked MySQL, or the URL of a server
    /// that is used for nothing else, as mysql://user:password@host:port
    #[arg(long, value_name = "PATH|URL")]
    mysql: Option<TestMysql>,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    setup::wasm_target().await?;
    setup::lint_components().await?;
    setup::tools(&[COMPILING, PROCESSES, MARIADB, REDIS, PROMETHEUS, BROWSER]).await?;
    galera_if_possible().await;
    Python::locust().await?;
    contract::ready().await?;
    kubernetes::ready().await?;
    cargo_step("format", cargo(["fmt", "--all", "--check"])).await?;
    deny::errors_only().await?;
    lint().await?;
    let mut doc = cargo(["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    cargo_step("docs", doc).await?;
    build::components().await?;
    build::test_guest().await?;
    // There are no doc tests; without these flags, cargo would print their empty summaries.
    let mut test = cargo(["test", "--workspace", "--lib", "--bins", "--tests"]);
    test.args(options.filter);
    if let Some(mysql) = &options.mysql {
        test.env(mysql::VARIABLE, mysql.to_variable());
    }
    cargo_step("tests", test).await?;
    Ok(ExitCode::SUCCESS)
}

/// The tests of Galera and of the short chaos need additional Debian packages, and skip themselves without them.
async fn galera_if_possible() {
    if let Err(error) = setup::galera().await {
        eprintln!("  the tests with Galera are skipped: {error:#}");
    }
}

/// Components are linted twice: natively with their unit tests, and as WebAssembly.
async fn lint() -> Result<()> {
    let mut native = cargo(["clippy", "--workspace", "--all-targets"]);
    // With this feature, lints also notice if the micro-benchmarks no longer build.
    native.args(["--features", "store-host/micro", "--", "-D", "warnings"]);
    cargo_step("lints", native).await?;
    let mut wasm = cargo(["clippy", "--target", "wasm32-wasip2"]);
    wasm.args(build::only_components())
        .args(["--", "-D", "warnings"]);
    cargo_step("lints of the components", wasm).await
}
