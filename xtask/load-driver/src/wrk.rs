//! A flood of requests over HTTP/1.1, sent by `wrk`: as many as the server can answer.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::{Flood, Request, Target};

/// Runs `command` with wrk's arguments added, to its end.
pub(super) async fn flood(
    mut command: Command,
    target: &Target,
    connections: u32,
    seconds: u32,
) -> Result<Flood> {
    let file = NamedTempFile::new().context("making a file for wrk's script")?;
    fs::write(file.path(), script(target))
        .with_context(|| format!("writing {}", file.path().display()))?;
    command
        .args(["--threads", "1", "--connections", &connections.to_string()])
        // An answer that takes this long counts as an error.
        .args(["--timeout", "30s", "--duration", &format!("{seconds}s")])
        .arg("--latency")
        .arg("--script")
        .arg(file.path())
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

/// A script in Lua that makes the target's requests.
fn script(target: &Target) -> String {
    let requests = target.requests.iter();
    let requests: Vec<String> = requests.map(|request| in_lua(target, request)).collect();
    match &requests[..] {
        // Without a function for requests, wrk does not run Lua for each of them.
        [request] => format!("wrk.method, wrk.path, wrk.headers, wrk.body = {request}\n"),
        // They are made once, because making a request costs more than sending it.
        requests => format!(
            "local requests, last = {{}}, 0\n\
             function init()\n  requests = {{\n    wrk.format({})\n  }}\nend\n\
             function request()\n  last = last % #requests + 1\n  return requests[last]\nend\n",
            requests.join("),\n    wrk.format(")
        ),
    }
}

/// The method, path, header lines and body of a request.
fn in_lua(target: &Target, request: &Request) -> String {
    let lines: Vec<String> = target
        .header_lines(request)
        .map(|(name, value)| format!("[\"{name}\"]=\"{value}\""))
        .collect();
    let body = request.body.as_ref();
    let body = body.map_or("nil".to_owned(), |body| format!("[[{body}]]"));
    let (method, path) = (request.method(), &request.path);
    format!("\"{method}\", \"{path}\", {{{}}}, {body}", lines.join(", "))
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
    fn a_script_makes_the_requests_in_turn() {
        let bodies = [r#"{"a":1}"#, r#"{"a":2}"#].map(str::to_owned);
        let script = script(&Target::orders("http://h:1", bodies.into_iter()));
        let requests = r#"
  requests = {
    wrk.format("POST", "/orders", {["content-type"]="application/json"}, [[{"a":1}]]),
    wrk.format("POST", "/orders", {["content-type"]="application/json"}, [[{"a":2}]])
  }
"#;
        assert!(script.contains(requests), "{script}");
        assert!(script.contains("function request()"), "{script}");
    }

    #[test]
    fn a_request_that_is_always_the_same_needs_no_function() {
        let of = "wrk.method, wrk.path, wrk.headers, wrk.body =";
        let get = Target::get("http://h:1", "/a?b=1");
        let expected = format!("{of} \"GET\", \"/a?b=1\", {{}}, nil\n");
        assert_eq!(script(&get), expected);
        let closing = script(&get.closing());
        assert!(closing.contains(r#"{["Connection"]="close"}"#), "{closing}");
        let post = script(&Target::post("http://h:1", "/orders", "{}", "key"));
        let expected =
            r#"{["idempotency-key"]="key", ["content-type"]="application/json"}, [[{}]]"#;
        assert_eq!(post, format!("{of} \"POST\", \"/orders\", {expected}\n"));
    }

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
