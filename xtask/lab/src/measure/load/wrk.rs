//! As much as goes over HTTP/1.1, sent by `wrk`.

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use super::{Flood, Target};

/// Runs `command`, to which wrk's arguments are added, to its end.
pub(super) async fn flood(
    mut command: Command,
    target: &Target,
    connections: u32,
    seconds: u32,
) -> Result<Flood> {
    command
        .args(["--threads", "1", "--connections", &connections.to_string()])
        // An answer that takes this long is an error.
        .args(["--timeout", "30s", "--duration", &format!("{seconds}s")]);
    command
        .args(&target.wrk)
        .arg(&target.url)
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

/// Reads what wrk prints. An error makes the numbers worthless.
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
    Ok(Flood {
        requests: number(requests.map(|(count, _)| count))
            .context("no requests in wrk's report")?,
        requests_per_second: number(rate).context("no rate in wrk's report")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_wrk_is_understood() {
        let said = "Running 5s test @ http://x\n  1 threads and 64 connections\n  \
                    62710 requests in 5.01s, 12.50MB read\nRequests/sec:  12517.96\nTransfer/sec: 2.5MB\n";
        let flood = understand(said).expect("understood");
        assert_eq!(
            (flood.requests, flood.requests_per_second),
            (62_710.0, 12_517.96)
        );
        let bad = format!("{said}  Non-2xx or 3xx responses: 7\n");
        assert!(understand(&bad).is_err());
    }
}
