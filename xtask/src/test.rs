//! `cargo xtask test`: everything that CI runs; what fails fastest comes first.

use std::env;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Error, Result};
use clap::Args;

use xtask::cargo::{cargo, cargo_step};
use xtask::mysql::{self, TestMysql};
use xtask::python::Python;
use xtask::setup::{self, BROWSER, COMPILING, MARIADB, PROCESSES, PROMETHEUS, REDIS};
use xtask::{build, contract, deny, kubernetes};

/// How many tests a test binary runs at once on a machine with fewer processors: most of their time, tests wait for
/// servers and clocks.
const TESTS_AT_ONCE: usize = 4;

/// Check format, dependencies, lints and docs, build everything, run every test; stops at the first step that fails
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run only the tests whose name contains this
    filter: Option<String>,
    /// Run the tests on MySQL instead of MariaDB: a mysqld, the folder of an unpacked MySQL, or the URL of a server
    /// that is used for nothing else, as mysql://user:password@host:port
    // Read by `run`, as clap would print a refused value, and with it the password in a URL.
    #[arg(long, value_name = "PATH|URL")]
    mysql: Option<String>,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let mysql = options.mysql.as_deref().map(str::parse::<TestMysql>);
    let mysql = mysql.transpose().context("--mysql")?;
    setup::wasm_target().await?;
    setup::lint_components().await?;
    setup::tools(&[COMPILING, PROCESSES]).await?;
    cargo_step("format", cargo(["fmt", "--all", "--check"])).await?;
    let components = build::components_beside("");
    let (without_galera, ()) = tokio::try_join!(install_beside(), lint())?;
    deny::errors_only().await?;
    components.await?;
    build::test_guest().await?;
    // There are no doc tests; without these flags, cargo would print their empty summaries. One run shows all that
    // fails: the next one takes as long.
    let mut test = cargo(["test", "--workspace", "--lib", "--bins", "--tests"]);
    test.arg("--no-fail-fast");
    test.args(options.filter);
    let threads = "RUST_TEST_THREADS";
    if env::var_os(threads).is_none() {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        test.env(threads, processors.max(TESTS_AT_ONCE).to_string());
    }
    if let Some(mysql) = &mysql {
        test.env(mysql::VARIABLE, mysql.to_variable());
    }
    let tested = cargo_step("tests", test).await;
    // The last line, as nobody looks for it among the tests' own: they skip themselves, and count as passed.
    if let Some(error) = without_galera {
        eprintln!("! SKIPPED: the tests with Galera and the short chaos: {error:#}");
    }
    tested?;
    Ok(ExitCode::SUCCESS)
}

/// Installs what the tests need while the compiler runs. Returns why there is no Galera, if so: the tests do without.
async fn install_beside() -> Result<Option<Error>> {
    setup::tools_beside(&[MARIADB, REDIS, PROMETHEUS, BROWSER]).await?;
    let without_galera = setup::galera_beside().await.err();
    Python::locust().await?;
    contract::ready().await?;
    kubernetes::ready().await?;
    Ok(without_galera)
}

/// Lints everything, docs included. Components are linted twice: natively with their unit tests, and as WebAssembly.
async fn lint() -> Result<()> {
    let mut native = cargo(["clippy", "--workspace", "--all-targets"]);
    // With this feature, lints also notice if the micro-benchmarks no longer build.
    native.args(["--features", "store-host/micro", "--", "-D", "warnings"]);
    cargo_step("lints", native).await?;
    let mut wasm = cargo(["clippy", "--target", "wasm32-wasip2"]);
    wasm.args(build::only_components())
        .args(["--", "-D", "warnings"]);
    cargo_step("lints of the components", wasm).await?;
    let mut doc = cargo(["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    cargo_step("docs", doc).await
}
