//! Upgrades to the new version while requests arrive.

use anyhow::{Context, Result, ensure};

use super::machine::Machine;
use super::passed;

/// Two clients: one opens a connection for each request, so that it notices a refused connection; the other keeps its
/// connection.
const LOAD: &str = r#"
rm -f /var/tmp/stop /var/tmp/codes-*
(while [ ! -e /var/tmp/stop ]; do
    curl -s -o /dev/null -w '%{http_code} %{errormsg}\n' --max-time 20 http://127.0.0.1:8080/stocks/1 >> /var/tmp/codes-fresh
    curl -s -o /dev/null -w '%{http_code} %{errormsg}\n' --max-time 20 -H 'content-type: application/json' -H "idempotency-key: $(cat /proc/sys/kernel/random/uuid)" \
        -d '{"user_id": 1, "items": [{"product_id": 1, "quantity": 1}]}' http://127.0.0.1:8080/orders >> /var/tmp/codes-orders
done) > /dev/null 2>&1 &
(while [ ! -e /var/tmp/stop ]; do
    curl -s -o /dev/null -w '%{http_code} %{errormsg}\n' --max-time 20 'http://127.0.0.1:8080/users/1?[1-200]' >> /var/tmp/codes-kept
done) > /dev/null 2>&1 &
"#;

/// Installs the new version, and checks the answers that the clients got.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn try_it(machine: &Machine) -> Result<()> {
    // With a short watchdog, the trial notices if the new process does not send watchdog messages as the old one did.
    machine.sh(
        "mkdir -p /run/systemd/system/store-proxy.service.d && printf '[Service]\\nWatchdogSec=3s\\n' > /run/systemd/system/store-proxy.service.d/sooner.conf && \
         systemctl daemon-reload && systemctl restart store-proxy",
    )?;
    let before = machine.property("store-proxy", "MainPID")?;
    machine.sh(&format!("{LOAD} sleep 2"))?;
    let said = machine.sh("apt-get install -qq /var/tmp/new.deb 2>&1")?;
    ensure!(!said.contains("store-manager:"), "the upgrade says: {said}");
    machine.sh("sleep 8; touch /var/tmp/stop; sleep 2")?;
    let answers = machine.sh("cat /var/tmp/codes-* | sort | uniq -c | sort -rn")?;
    println!("    answers during the upgrade:");
    for line in answers.lines() {
        println!("    {line}");
    }
    let is_fine = |line: &str| matches!(line.split_whitespace().nth(1), Some("200" | "201"));
    ensure!(
        answers.lines().all(is_fine),
        "some requests failed: {answers}"
    );

    let after = machine.property("store-proxy", "MainPID")?;
    ensure!(before != after, "the proxy is the process that it was");
    for (unit, program) in [
        ("store-host@0", "/usr/bin/store-host"),
        ("store-host@1", "/usr/bin/store-host"),
        ("store-proxy", "/usr/bin/store-proxy"),
    ] {
        let state = machine.property(unit, "ActiveState")?;
        let restarts = machine.property(unit, "NRestarts")?;
        ensure!(
            state == "active" && restarts == "0",
            "{unit} is {state}, {restarts} restarts"
        );
        // The kernel shows the path of a program whose file was replaced as deleted.
        let process = machine.property(unit, "MainPID")?;
        let runs = machine.sh(&format!("readlink /proc/{process}/exe"))?;
        ensure!(runs == program, "{unit} runs {runs} after the upgrade");
    }
    let version = machine.sh("dpkg-query --show --showformat '${Version}' store-manager")?;
    ensure!(
        version == env!("CARGO_PKG_VERSION"),
        "installed is {version}"
    );
    machine.sh("rm -r /run/systemd/system/store-proxy.service.d && systemctl daemon-reload")?;
    // Some settings take effect only in a new process; the same command starts one.
    machine.sh("sed -i 's/^address = \"127.0.0.1:8080\"/address = \"127.0.0.1:8082\"/' /etc/store-manager/store-proxy.toml && systemctl reload store-proxy")?;
    machine
        .sh("curl -sf http://127.0.0.1:8082/health-check")
        .context("after a reload with another address")?;
    machine.sh("sed -i 's/127.0.0.1:8082/127.0.0.1:8080/' /etc/store-manager/store-proxy.toml && systemctl reload store-proxy")?;
    machine.sh("curl -sf http://127.0.0.1:8080/health-check")?;
    passed(
        "upgraded under load: no request failed, the proxy handed over, the hosts followed one another",
    );
    Ok(())
}
