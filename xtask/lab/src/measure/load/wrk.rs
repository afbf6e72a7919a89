//! A flood of requests over HTTP/1.1, sent by `wrk`: as many as the server can answer.

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use super::{Flood, Target};

/// Runs `command` with wrk's arguments added, to its end.
pub(super) async fn flood(
    mut command: Command,
    target: &Target,
    connections: u32,
    seconds: u32,
) -> Result<Flood> {
    command
        .args(["--threads", "1", "--connections", &connections.to_string()])
        // An answer that takes this long counts as an error.
        .args(["--timeout", "30s", "--duration", &format!("{seconds}s")])
        .arg("--latency")
        .args(&target.wrk)
        .arg(target.url())
        .kill_on_drop(true);
    let output = command.output().await.context("running wrk")?;
    ensure!(
        output.status.success(),
        "wrk failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    understand(&String::from_utf8_lossy(&output.stdout))
}

/// Parses wrk's output. Any failed request makes the figures worthless, so it is an error.
fn understand(said: &str) -> Result<Flood> {
    if let Some(errors) = said
        .lines()
        .find(|line| line.contains("Non-2xx") || line.contains("Socket errors"))
    {
        bail!("wrk: {}", errors.trim());
    }
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<f64>().ok());
    let requests = said
        .lines()
        .find_map(|line| line.split_once(" requests in "));
    let rate = said
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    let half = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("50%"));
    Ok(Flood {
        requests: number(requests.map(|(count, _)| count))
            .context("no requests in wrk's report")?,
        requests_per_second: number(rate).context("no rate in wrk's report")?,
        p50_ms: half
            .and_then(|time| milliseconds(time.trim()))
            .context("no median in wrk's report")?,
    })
}

/// Parses a time in wrk's format.
fn milliseconds(text: &str) -> Option<f64> {
    // The longer units come first, because each of them ends with the letter of seconds.
    for (unit, in_ms) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().ok().map(|number| number * in_ms);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_wrk_is_understood() {
        let said = "Running 5s test @ http://x\n  1 threads and 64 connections\n  \
                    Latency Distribution\n     50%  740.00us\n     75%    1.14ms\n  \
                    62710 requests in 5.01s, 12.50MB read\nRequests/sec:  12517.96\nTransfer/sec: 2.5MB\n";
        let flood = understand(said).expect("understood");
        assert_eq!(
            (flood.requests, flood.requests_per_second, flood.p50_ms),
            (62_710.0, 12_517.96, 0.74)
        );
        let bad = format!("{said}  Non-2xx or 3xx responses: 7\n");
        assert!(understand(&bad).is_err());
        assert_eq!(milliseconds("1.50s"), Some(1500.0));
        assert_eq!(milliseconds("1.14ms"), Some(1.14));
        assert_eq!(milliseconds("1.2h"), None);
    }
}
