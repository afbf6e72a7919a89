//! A fixed rate of requests, sent by `oha` on time even when answers are late, and timed from when they were due.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use testbed::seed::Size;
use tokio::process::{Child, Command};

/// Of ten requests, how many are orders.
const ORDERS_OF_TEN: u32 = 1;

/// Connections of each stream: more than are ever busy at once, so that none waits for another.
const CONNECTIONS: &str = "64";

/// Longer than anything here lasts: a load is ended by hand.
const LONGEST: &str = "3h";

/// URLs and bodies to choose from; oha takes one at random for each request.
const CHOICES: u64 = 2000;

/// Of ten reads: routes, with `{}` for the id. The two reports are the components' own, and come as often as all else.
const READS: [(&str, Ids); 10] = [
    ("/orders/reports/highest-spenders", Ids::None),
    ("/orders/reports/best-sellers", Ids::None),
    ("/orders/reports/highest-spenders", Ids::None),
    ("/orders/reports/best-sellers", Ids::None),
    ("/orders/{}", Ids::Orders),
    ("/orders/{}", Ids::Orders),
    ("/users/{}", Ids::Users),
    ("/products/{}", Ids::Products),
    ("/stocks/{}", Ids::Products),
    ("/health-check", Ids::None),
];

#[derive(Clone, Copy)]
enum Ids {
    None,
    Orders,
    Users,
    Products,
}

/// What is sent: files that oha chooses from.
pub(super) struct Work {
    folder: PathBuf,
    urls: String,
    bodies: PathBuf,
}

impl Work {
    /// Writes the orders' bodies, and makes the reads' paths, for data of this size.
    pub(super) fn write(folder: &Path, size: &Size, seed: u64) -> Result<Self> {
        let mut numbers = Numbers(seed);
        let mut urls = String::new();
        for (path, ids) in READS.iter().cycle().take(CHOICES as usize) {
            let id = match ids {
                Ids::None => 0,
                Ids::Orders => numbers.up_to(size.orders as u64),
                Ids::Users => numbers.up_to(size.users as u64),
                Ids::Products => numbers.up_to(size.products as u64),
            };
            writeln!(urls, "{}", path.replace("{}", &id.to_string()))?;
        }
        let mut text = String::new();
        for _ in 0..CHOICES {
            let user = numbers.up_to(size.users as u64);
            let product = numbers.up_to(size.products as u64);
            writeln!(
                text,
                r#"{{"user_id":{user},"items":[{{"product_id":{product},"quantity":1}}]}}"#
            )?;
        }
        let bodies = folder.join("orders.txt");
        fs::write(&bodies, text).with_context(|| format!("writing {}", bodies.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            urls,
            bodies,
        })
    }

    fn url_file(&self, base: &str) -> Result<PathBuf> {
        let path = self.folder.join("urls.txt");
        let whole = self.urls.lines().map(|url| format!("{base}{url}\n"));
        fs::write(&path, whole.collect::<String>())
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// Numbers that look random and are the same each time (Vigna's splitmix64).
struct Numbers(u64);

impl Numbers {
    /// From 1 to `limit`.
    fn up_to(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        1 + (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}

/// Two streams of requests, until stopped. They end with this process, however it ends.
pub(super) struct Load {
    streams: Vec<(&'static str, Child)>,
}

/// What a stream measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) stream: &'static str,
    pub(super) requests: u64,
    /// Answers other than 2xx, by status, and requests without an answer, by reason.
    pub(super) failed: BTreeMap<String, u64>,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

impl Load {
    /// Begins `rate` requests a second against the host at `base`.
    pub(super) fn start(oha: &Path, base: &str, work: &Work, rate: u32) -> Result<Self> {
        let orders = rate * ORDERS_OF_TEN / 10;
        let urls = work.url_file(base)?.display().to_string();
        let bodies = work.bodies.display().to_string();
        let order_url = format!("{base}/orders");
        let post = [
            "-m",
            "POST",
            "-T",
            "application/json",
            "-Z",
            &bodies,
            &order_url,
        ];
        let streams = vec![
            (
                "reads",
                start_stream(oha, rate - orders, &["--urls-from-file", &urls])?,
            ),
            ("orders", start_stream(oha, orders, &post)?),
        ];
        Ok(Self { streams })
    }

    /// Ends both, and reads what they measured.
    pub(super) async fn stop(self) -> Result<Vec<Measured>> {
        for (_, child) in &self.streams {
            let id = child.id().context("oha has ended by itself")?;
            let id = i32::try_from(id).context("a process id is a positive i32")?;
            kill(Pid::from_raw(id), Signal::SIGINT).context("ending oha")?;
        }
        let mut measured = Vec::new();
        for (stream, child) in self.streams {
            let output = child.wait_with_output().await.context("waiting for oha")?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "oha failed: {}", said.trim());
            let result = serde_json::from_slice(&output.stdout);
            let result: Output = result.context("reading what oha measured")?;
            measured.push(result.measured(stream));
        }
        Ok(measured)
    }
}

fn start_stream(oha: &Path, rate: u32, what: &[&str]) -> Result<Child> {
    Command::new(oha)
        .args([
            "--no-tui",
            "--output-format",
            "json",
            "--latency-correction",
        ])
        .args(["-q", &rate.to_string(), "-z", LONGEST, "-c", CONNECTIONS])
        .args(what)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting oha")
}

/// What of oha's output we read; times are in seconds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    summary: Summary,
    latency_percentiles: BTreeMap<String, f64>,
    status_code_distribution: BTreeMap<String, u64>,
    error_distribution: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Summary {
    slowest: f64,
}

impl Output {
    fn measured(self, stream: &'static str) -> Measured {
        let percentile = |name| self.latency_percentiles.get(name).copied();
        let ms = |name| percentile(name).map_or(f64::NAN, |seconds| seconds * 1000.0);
        let (p50_ms, p99_ms) = (ms("p50"), ms("p99"));
        let answered: u64 = self.status_code_distribution.values().sum();
        let lost: u64 = self.error_distribution.values().sum();
        let mut failed = self.error_distribution;
        let statuses = self.status_code_distribution.into_iter();
        failed.extend(statuses.filter(|(status, _)| !status.starts_with('2')));
        Measured {
            stream,
            requests: answered + lost,
            failed,
            p50_ms,
            p99_ms,
            max_ms: self.summary.slowest * 1000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_2xx_has_failed() {
        let output: Output = serde_json::from_value(serde_json::json!({
            "summary": {"slowest": 0.5},
            "latencyPercentiles": {"p50": 0.001, "p99": 0.0025},
            "statusCodeDistribution": {"200": 90, "201": 5, "404": 2, "503": 1},
            "errorDistribution": {"connection closed": 3},
        }))
        .expect("oha's form");
        let measured = output.measured("reads");
        assert_eq!(measured.requests, 101);
        assert_eq!(measured.failed.values().sum::<u64>(), 6);
        assert_eq!(
            (measured.p50_ms, measured.p99_ms, measured.max_ms),
            (1.0, 2.5, 500.0)
        );
    }

    #[test]
    fn numbers_are_within_their_limit_and_spread() {
        let mut numbers = Numbers(42);
        let drawn: Vec<u64> = (0..1000).map(|_| numbers.up_to(10)).collect();
        assert!((1..=10).all(|number| drawn.iter().filter(|n| **n == number).count() > 50));
        assert!(drawn.iter().all(|number| (1..=10).contains(number)));
    }
}
