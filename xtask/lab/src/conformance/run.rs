//! One run of http-cache-tests: the suite's origin server, a proxy in front of it, and our client, which runs the
//! suite's tests against the proxy.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use testbed::{Process, Progress, Proxy, ProxyLayout, free_port, start_program};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::choices::Edition;

/// Our client. The suite's own client prints nothing while it runs, and does not list the tests.
const CLIENT: &str = include_str!("client.mjs");

/// The settings that switch on every feature of the proxy's cache; docs/PROXY.md explains each.
pub(super) const SETTINGS: &str = "expires = true, heuristic_percent = 10, other_statuses = true, \
    revalidate = true, ranges = true, authorized = true";

/// The time limit for all tests. They take about a minute, most of it pauses.
const LIMIT: Duration = Duration::from_secs(10 * 60);

const START_LIMIT: Duration = Duration::from_secs(30);

/// How often the origin is started again because another process took its port before the origin could bind it.
const PORT_TRIES: usize = 5;

const LOOK: Duration = Duration::from_millis(100);

/// The results that the client writes at its end.
#[derive(Debug, Deserialize)]
pub(super) struct SuiteResults {
    /// The suite's version.
    pub(super) version: String,
    pub(super) edition: Edition,
    pub(super) tests: Vec<Test>,
    /// By the test's id: `true`, or the kind of failure and an explanation.
    pub(super) results: BTreeMap<String, Value>,
}

/// A test of the suite.
#[derive(Debug, Deserialize)]
pub(super) struct Test {
    pub(super) id: String,
    pub(super) name: String,
    /// `required`, `optimal`, or `check` for tests that only give information.
    pub(super) kind: String,
}

/// Runs all tests, and those that failed once more: on a busy machine, a second may pass where the test allows for
/// none.
pub(super) async fn run(suite: &Path, proxy: &Path, folder: &Path) -> Result<SuiteResults> {
    let origin = Origin::start(suite, folder).await?;
    let (proxy, _) =
        Proxy::start_on_free_ports(proxy, folder, |place| config(place, origin.address)).await?;
    let client = folder.join("client.mjs");
    fs::write(&client, CLIENT).with_context(|| format!("writing {}", client.display()))?;
    let session = Session {
        suite,
        folder,
        proxy: &proxy,
        origin: &origin.process,
    };
    let mut found = session.run("cache tests", &[]).await?;
    let failed = found.results.iter().filter(|(_, result)| **result != true);
    let failed: Vec<&str> = failed.map(|(id, _)| id.as_str()).collect();
    if !failed.is_empty() {
        let again = session.run("failed ones again", &failed).await?;
        found.results.extend(again.results);
    }
    Ok(found)
}

/// The parameters of a client run.
struct Session<'a> {
    suite: &'a Path,
    folder: &'a Path,
    proxy: &'a Proxy,
    origin: &'a Process,
}

impl Session<'_> {
    /// Runs the tests with these ids, or all tests if there are none.
    async fn run(&self, title: &str, ids: &[&str]) -> Result<SuiteResults> {
        let results = self.folder.join("results.json");
        let log = self.folder.join("client.log");
        let path = |path: &Path| path.display().to_string();
        let args = [
            path(&self.folder.join("client.mjs")),
            path(self.suite),
            self.proxy.url(""),
            path(&results),
            ids.join(","),
        ];
        let client = start_program("the cache tests", "node", &args, &log)?;
        let began = Instant::now();
        let mut shown = None;
        let mut done = 0;
        let status = loop {
            if let Some(status) = client.exit_status()? {
                break status;
            }
            for server in [self.origin, self.proxy.process()] {
                let ended = server.exit_status()?.is_some();
                ensure!(!ended, "{} ended:{}", server.name(), server.log_tail());
            }
            if began.elapsed() > LIMIT {
                bail!("the cache tests take longer than {} s", LIMIT.as_secs());
            }
            if let Some((now, total)) = progress(&client.log()) {
                let step = shown.get_or_insert_with(|| Progress::detect().step(title, total));
                step.advance(now - done);
                done = now;
            }
            sleep(LOOK).await;
        };
        ensure!(
            status.success(),
            "the cache tests failed ({status}):{}",
            client.log_tail()
        );
        let text = fs::read(&results).with_context(|| format!("reading {}", results.display()))?;
        let found: SuiteResults = serde_json::from_slice(&text).context("reading the results")?;
        if let Some(step) = shown {
            step.finish();
        }
        Ok(found)
    }
}

/// How many tests are done, and of how many: the client's last complete line.
fn progress(log: &str) -> Option<(usize, u64)> {
    let whole = &log[..log.rfind('\n')?];
    let (done, total) = whole.lines().next_back()?.split_once('/')?;
    Some((done.parse().ok()?, total.parse().ok()?))
}

/// The suite's origin server.
struct Origin {
    process: Process,
    address: SocketAddr,
}

impl Origin {
    async fn start(suite: &Path, folder: &Path) -> Result<Self> {
        let places = ["server/server.mjs", "test-engine/server/server.mjs"];
        let script = places.map(|place| suite.join(place));
        let script = script.iter().find(|script| script.is_file());
        let script = script.with_context(|| format!("no server in {}", suite.display()))?;
        let mut tries = 1;
        loop {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
            let args = [
                "npm_config_protocol=http".to_owned(),
                format!("npm_config_port={}", address.port()),
                format!("npm_config_pidfile={}", folder.join("origin.pid").display()),
                "node".to_owned(),
                script.display().to_string(),
            ];
            let log = folder.join("origin.log");
            let process = start_program("the origin server", "env", &args, &log)?;
            let began = Instant::now();
            while process.exit_status()?.is_none() {
                if TcpStream::connect(address).await.is_ok() {
                    return Ok(Self { process, address });
                }
                let left = began.elapsed() < START_LIMIT;
                ensure!(left, "the origin server doesn't listen on {address}");
                sleep(LOOK).await;
            }
            let taken = process.log().contains("EADDRINUSE") && tries < PORT_TRIES;
            ensure!(taken, "the origin server ended:{}", process.log_tail());
            tries += 1;
        }
    }
}

/// The proxy's configuration. The origin fails on purpose, so the proxy must not eject it.
fn config(place: &ProxyLayout, origin: SocketAddr) -> String {
    let ProxyLayout {
        port, admin_port, ..
    } = place;
    format!(
        "[server]\nadmin = \"127.0.0.1:{admin_port}\"\n\n[[listen]]\naddress = \"127.0.0.1:{port}\"\n\n\
         [upstreams.origin]\nejection = {{ failures = 0 }}\ncache = {{ {SETTINGS} }}\n\
         servers = [{{ address = \"{origin}\" }}]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::progress;

    #[test]
    fn progress_is_the_last_whole_line() {
        assert_eq!(progress(""), None);
        assert_eq!(progress("1/26"), None);
        assert_eq!(progress("1/265\n25/26"), Some((1, 265)));
        assert_eq!(progress("1/265\nsome warning\n"), None);
        assert_eq!(progress("some warning\n25/265\n"), Some((25, 265)));
    }
}
