//! `cargo xtask conformance http2`: runs h2spec against the host and the proxy, with and without TLS.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use testbed::{DataStore, HostOptions, Proxy, ProxyLayout, find_program, new_folder};
use tokio::process::Command;

use xtask::build::{HOST_PACKAGE, PROXY_PACKAGE};
use xtask::setup::{self, COMPILING, MARIADB, PROCESSES, REDIS};
use xtask::stop_signals::{INTERRUPTED, StopSignals};
use xtask::{build, paths};

/// The path of the requests; it needs no database.
const PATH: &str = "/health-check";

/// The test that our servers fail without TLS. One port serves HTTP/1.1 and HTTP/2 there, so an invalid preface is a
/// malformed HTTP/1.1 request, and the server answers 400 before it closes the connection.
const NO_PREFACE: &str = "Sends invalid connection preface";

/// Run h2spec, the public tests for HTTP/2, against the host and the proxy
///
/// Exits with 1 if a test fails that is not a documented exception.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The h2spec program [default: the one on the PATH]
    #[arg(long, value_name = "PROGRAM")]
    h2spec: Option<PathBuf>,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let Some(h2spec) = options.h2spec.or_else(|| find_program("h2spec")) else {
        bail!(
            "there is no h2spec on the PATH; build github.com/summerwind/h2spec and name it with --h2spec"
        );
    };
    // Listens before anything is started, so that a signal always ends what was started.
    let mut stop = StopSignals::new()?;
    tokio::select! {
        () = stop.next() => Ok(ExitCode::from(INTERRUPTED)),
        judged = judge(&h2spec) => judged,
    }
}

async fn judge(h2spec: &Path) -> Result<ExitCode> {
    setup::wasm_target().await?;
    setup::tools(&[COMPILING, PROCESSES, MARIADB, REDIS]).await?;
    build::components().await?;
    build::programs(&[HOST_PACKAGE, PROXY_PACKAGE]).await?;
    let base = paths::target().join("tmp");
    let store = DataStore::start(&base).await?;
    store.migrate(paths::program(HOST_PACKAGE))?;
    let host = HostOptions::new(paths::program(HOST_PACKAGE), paths::app());
    let host = store.host(host).await?;
    let host_address = address(&host.url(""))?;
    let folder = new_folder(&base, "http2")?;
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(folder.join("certificate.pem"), certificate.cert.pem())?;
    fs::write(
        folder.join("key.pem"),
        certificate.signing_key.serialize_pem(),
    )?;
    let start = async |listen: &str| {
        Proxy::start_on_free_ports(&paths::program(PROXY_PACKAGE), &folder, |place| {
            config(place, listen, host_address)
        })
        .await
    };
    let mut is_good = suite(h2spec, "store-host", host_address, &[NO_PREFACE]).await?;
    {
        let (proxy, _) = start("h2c = true").await?;
        let address = address(&proxy.url(""))?;
        is_good &= suite(h2spec, "store-proxy", address, &[NO_PREFACE]).await?;
    }
    let (proxy, _) = start(&tls(&folder)).await?;
    let address = address(&proxy.url(""))?;
    is_good &= suite(h2spec, "store-proxy, TLS", address, &[]).await?;
    Ok(xtask::verdict(is_good))
}

/// Runs all tests against one server. Returns whether all passed except `excepted`.
async fn suite(h2spec: &Path, name: &str, address: SocketAddr, excepted: &[&str]) -> Result<bool> {
    let mut command = Command::new(h2spec);
    command.args(["--host", &address.ip().to_string()]);
    command.args(["--port", &address.port().to_string()]);
    command.args(["--path", PATH, "--timeout", "5"]);
    if name.ends_with("TLS") {
        command.args(["--tls", "--insecure"]);
    }
    let ran = command.kill_on_drop(true).output().await;
    let ran = ran.with_context(|| format!("starting {}", h2spec.display()))?;
    let said = String::from_utf8_lossy(&ran.stdout);
    let Some((summary, failures)) = verdict(&said) else {
        bail!(
            "h2spec gave no summary: {said}{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    };
    println!("{name}: {summary}");
    let mut is_good = true;
    for failure in failures {
        let known = excepted.iter().any(|excepted| failure.contains(excepted));
        is_good &= known;
        println!("  {failure}{}", if known { " (our choice)" } else { "" });
    }
    Ok(is_good)
}

/// The line with the counts, and the names of the failed tests.
fn verdict(said: &str) -> Option<(&str, Vec<&str>)> {
    let is_summary = |line: &&str| line.contains(" tests, ") && line.contains(" passed");
    let summary = said.lines().find(is_summary)?;
    let (_, failures) = said.split_once("Failures:").unwrap_or_default();
    let failures = failures
        .lines()
        .filter_map(|line| line.trim().strip_prefix("× "));
    Some((summary, failures.collect()))
}

fn config(place: &ProxyLayout, listen: &str, host: SocketAddr) -> String {
    let ProxyLayout {
        port, admin_port, ..
    } = place;
    format!(
        "[server]\nadmin = \"127.0.0.1:{admin_port}\"\n\n[[listen]]\naddress = \"127.0.0.1:{port}\"\n{listen}\n\n\
         [upstreams.host]\nservers = [{{ address = \"{host}\" }}]\n"
    )
}

fn tls(folder: &Path) -> String {
    let at = folder.display();
    format!("tls = {{ certificate = \"{at}/certificate.pem\", key = \"{at}/key.pem\" }}")
}

fn address(url: &str) -> Result<SocketAddr> {
    let (_, address) = url.split_once("://").unwrap_or_default();
    address
        .parse()
        .with_context(|| format!("the address in {url}"))
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn failures_and_counts_are_read() {
        let said = "  1: fine\n\nFailures: \n\n  3. Starting\n      × 2: Sends it\n        -> must\n\nFinished in 1.0 seconds\n2 tests, 1 passed, 0 skipped, 1 failed\n";
        let (summary, failures) = verdict(said).expect("a summary");
        assert_eq!(summary, "2 tests, 1 passed, 0 skipped, 1 failed");
        assert_eq!(failures, ["2: Sends it"]);
        assert!(verdict("no connection").is_none());
    }
}
