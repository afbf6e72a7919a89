//! A flood of requests over HTTP/2, sent by `h2load`: as many as the server can answer.

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::{Flood, STREAMS, Target};

/// Runs `command` with h2load's arguments added, to its end.
pub(super) async fn flood(
    mut command: Command,
    target: &Target,
    at_once: u32,
    seconds: u32,
) -> Result<Flood> {
    let connections = at_once.div_ceil(STREAMS);
    command
        .args(["--threads", "1", "--clients", &connections.to_string()])
        .args(["--max-concurrent-streams", &STREAMS.to_string()])
        .args(["--duration", &seconds.to_string(), &target.url()])
        .kill_on_drop(true);
    let output = command.output().await.context("running h2load")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "h2load failed ({}): {said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    understand(&said, seconds)
}

/// Parses h2load's output. Any failed request makes the figures worthless, so it is an error.
fn understand(said: &str, seconds: u32) -> Result<Flood> {
    ensure!(
        said.contains("Application protocol: h2\n"),
        "h2load: the server does not speak HTTP/2"
    );
    let line = |name: &str| said.lines().find_map(|line| line.strip_prefix(name));
    let statuses = line("status codes: ").context("no statuses in h2load's report")?;
    let counts = counts(statuses)?;
    let good = counts.iter().find(|(what, _)| what == "2xx");
    let good = good.map_or(0.0, |(_, count)| *count);
    let all: f64 = counts.iter().map(|(_, count)| count).sum();
    ensure!(good > 0.0 && good == all, "h2load: {statuses}");
    // Requests that were in flight at the end count neither as succeeded nor as failed.
    let requests = line("requests: ").context("no requests in h2load's report")?;
    for (what, count) in self::counts(requests)? {
        let is_bad = matches!(&*what, "failed" | "errored" | "timeout");
        ensure!(!is_bad || count == 0.0, "h2load: {requests}");
    }
    Ok(Flood {
        requests: good,
        requests_per_second: good / f64::from(seconds),
        p50_ms: f64::NAN,
    })
}

/// Parses `12 this, 3 that`.
fn counts(text: &str) -> Result<Vec<(String, f64)>> {
    let count = |part: &str| {
        let (count, what) = part.trim().split_once(' ')?;
        Some((what.to_owned(), count.parse().ok()?))
    };
    let counts: Option<_> = text.split(',').map(count).collect();
    counts.with_context(|| format!("h2load: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_h2load_is_understood() {
        let said = "Application protocol: h2\n\nfinished in 2.00s, 21000.50 req/s, 3.1MB/s\n\
                    requests: 42001 total, 42064 started, 42001 done, 42001 succeeded, 0 failed, 0 errored, 0 timeout\n\
                    status codes: 42001 2xx, 0 3xx, 0 4xx, 0 5xx\n";
        let flood = understand(said, 2).expect("understood");
        assert_eq!(
            (flood.requests, flood.requests_per_second),
            (42_001.0, 21_000.5)
        );
        for (from, to) in [
            ("0 4xx", "1 4xx"),
            ("0 failed", "1 failed"),
            ("col: h2", "col: http/1.1"),
            ("42001 2xx", "0 2xx"),
        ] {
            assert!(understand(&said.replace(from, to), 2).is_err(), "{to}");
        }
    }
}
