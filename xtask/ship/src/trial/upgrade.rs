//! Upgrades to the new version while requests arrive, an upgrade that fails, and the way back.

use anyhow::{Context, Result, ensure};

use super::earlier::{EarlierPackage, MARK};
use super::faults::write_password;
use super::machine::Machine;
use super::{PASSWORD, passed, tour};

/// The units that serve.
const SERVING: [&str; 3] = ["store-host@0", "store-host@1", "store-proxy"];

/// Files that an administrator has changed stay; dpkg would ask.
const APT: &str = "apt-get install -qq --allow-downgrades -o Dpkg::Options::=--force-confold";

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

/// Installs the earlier version with an empty database, and has it serve. The administrator changes a file that the new
/// version changes too.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn prepare(machine: &Machine, earlier: &EarlierPackage) -> Result<()> {
    machine.sh("mariadb -e 'DROP DATABASE IF EXISTS store' && redis-cli FLUSHALL")?;
    machine.sh(&format!("{APT} /var/tmp/earlier.deb"))?;
    write_password(machine, PASSWORD)?;
    machine.sh("echo '# Of the administrator.' >> /etc/store-manager/host.env")?;
    let units = SERVING.join(" ");
    machine.sh(&format!(
        "systemctl enable --quiet {units} && systemctl start {units}"
    ))?;
    tour::fill(machine)?;
    is_installed(machine, &earlier.version)?;
    passed(&format!("the earlier version serves: {}", earlier.what()));
    Ok(())
}

/// Installs the new version, and checks the answers that the clients got.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn try_it(machine: &Machine, earlier: &EarlierPackage, version: &str) -> Result<()> {
    // With a short watchdog, the trial notices if the new process does not send watchdog messages as the old one did.
    machine.sh(
        "mkdir -p /run/systemd/system/store-proxy.service.d && printf '[Service]\\nWatchdogSec=3s\\n' > /run/systemd/system/store-proxy.service.d/sooner.conf && \
         systemctl daemon-reload && systemctl restart store-proxy",
    )?;
    let before = machine.property("store-proxy", "MainPID")?;
    machine.sh(&format!("{LOAD} sleep 2"))?;
    let said = machine.sh(&format!("{APT} /var/tmp/new.deb 2>&1"))?;
    ensure!(
        !said.contains("store-manager: "),
        "the upgrade says: {said}"
    );
    machine.sh("sleep 8")?;
    no_request_failed(machine, "the upgrade")?;

    let after = machine.property("store-proxy", "MainPID")?;
    ensure!(before != after, "the proxy is the process that it was");
    for unit in SERVING {
        runs_what_is_installed(machine, unit)?;
    }
    is_installed(machine, version)?;
    if earlier.is_made_up {
        all_has_changed(machine)?;
    }
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

/// What the new version has changed is in force, and what the administrator had changed is as it was.
fn all_has_changed(machine: &Machine) -> Result<()> {
    let nothing = |what: &str, script: &str| -> Result<()> {
        let left = machine.sh(&format!("{script} || true"))?;
        ensure!(left.is_empty(), "{what} is still the earlier one: {left}");
        Ok(())
    };
    for unit in SERVING {
        let environment = format!(
            "tr '\\0' '\\n' < /proc/$(systemctl show --value --property=MainPID {unit})/environ | grep {MARK}"
        );
        nothing(&format!("the unit of {unit}"), &environment)?;
    }
    let app = format!("grep -l {MARK} /etc/store-manager/spin.toml");
    nothing("the untouched spin.toml", &app)?;
    machine.sh("grep -q '# Of the administrator.' /etc/store-manager/host.env && test -s /etc/store-manager/host.env.dpkg-dist")?;
    for admin in ["127.0.0.1:5100", "127.0.0.1:5101"] {
        machine
            .sh(&format!(
                "curl -sf http://{admin}/status | grep -F $(sha256sum /usr/lib/store-manager/reports.wasm | cut -d' ' -f1)"
            ))
            .context("the new component does not serve")?;
    }
    passed(
        "the new programs, units, component and spin.toml are in force, and host.env is the administrator's",
    );
    Ok(())
}

/// Installs a version whose hosts do not come up: the upgrade fails at the first of them, and everything else serves
/// on. Then goes back to the version before.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn fail(machine: &Machine, version: &str) -> Result<()> {
    let before = SERVING.map(|unit| machine.property(unit, "MainPID"));
    machine.sh(&format!("{LOAD} sleep 2"))?;
    let upgrade = format!("{APT} /var/tmp/broken.deb 2>&1");
    let said = machine.try_sh(&upgrade)?;
    ends_at_a_host(&upgrade, &said.text, said.code)?;
    machine.sh("sleep 3")?;
    no_request_failed(machine, "the failed upgrade")?;
    let failed = machine.property("store-host@0", "ActiveState")?;
    ensure!(failed == "failed", "store-host@0 is {failed}");
    for (unit, before) in SERVING.into_iter().zip(before).skip(1) {
        let (before, after) = (before?, machine.property(unit, "MainPID")?);
        ensure!(
            before == after,
            "{unit} is not the process that it was before a failed upgrade"
        );
    }

    machine.sh(&format!("{APT} /var/tmp/new.deb 2>&1"))?;
    machine.sh("systemctl start store-host@0")?;
    is_installed(machine, version)?;
    for unit in SERVING {
        runs_what_is_installed(machine, unit)?;
    }
    passed(
        "an upgrade to a version whose hosts do not come up: it ends at the first, no request failed, and there is a way back",
    );
    Ok(())
}

/// Goes back to the earlier version after the new one has migrated, as DEPLOY.md says.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn go_back(machine: &Machine, earlier: &EarlierPackage) -> Result<()> {
    machine.sh("mariadb store -e \"INSERT INTO schema_migrations (version, name) VALUES (99, 'of-the-new-version')\"")?;
    let downgrade = format!("{APT} /var/tmp/earlier.deb 2>&1");
    let said = machine.try_sh(&downgrade)?;
    // An older version's own script decides whether its installation fails.
    if earlier.is_made_up {
        ends_at_a_host(&downgrade, &said.text, said.code)?;
    }
    let code = machine.property("store-host@0", "ExecMainStatus")?;
    ensure!(
        code == "3",
        "store-host@0 of the earlier version ended with {code} on a newer schema"
    );
    machine
        .sh("echo STORE_HOST_ALLOW_OTHER_SCHEMA=true >> /etc/store-manager/host.env && systemctl start store-host@0")?;
    // With nothing left to configure, this does nothing.
    machine.sh("dpkg --configure -a 2>&1")?;
    if !earlier.is_made_up {
        machine.sh("systemctl restart store-host@1 && systemctl reload store-proxy")?;
    }
    is_installed(machine, &earlier.version)?;
    for unit in SERVING {
        runs_what_is_installed(machine, unit)?;
    }
    machine.sh(
        "curl -sf http://127.0.0.1:8080/users/1 && curl -sf http://127.0.0.1:8080/health-check",
    )?;
    passed(
        "downgraded: the earlier version refuses the newer schema, and serves it once it is allowed to",
    );
    Ok(())
}

fn ends_at_a_host(command: &str, said: &str, code: Option<i32>) -> Result<()> {
    ensure!(
        code != Some(0) && said.contains("store-manager: store-host@0.service does not start"),
        "`{command}` ends with {code:?} and not at store-host@0: {said}"
    );
    Ok(())
}

/// Ends the load, and checks all answers.
fn no_request_failed(machine: &Machine, during: &str) -> Result<()> {
    machine.sh("touch /var/tmp/stop; sleep 2")?;
    let answers = machine.sh("cat /var/tmp/codes-* | sort | uniq -c | sort -rn")?;
    println!("    answers during {during}:");
    for line in answers.lines() {
        println!("    {line}");
    }
    let is_fine = |line: &str| matches!(line.split_whitespace().nth(1), Some("200" | "201"));
    ensure!(
        !answers.is_empty() && answers.lines().all(is_fine),
        "some requests failed during {during}: {answers}"
    );
    Ok(())
}

/// Checks that a unit is active and runs the program that is installed.
fn runs_what_is_installed(machine: &Machine, unit: &str) -> Result<()> {
    let program = unit.split('@').next().unwrap_or(unit);
    let state = machine.property(unit, "ActiveState")?;
    let restarts = machine.property(unit, "NRestarts")?;
    ensure!(
        state == "active" && restarts == "0",
        "{unit} is {state}, {restarts} restarts"
    );
    // The kernel shows the path of a program whose file was replaced as deleted.
    let process = machine.property(unit, "MainPID")?;
    let runs = machine.sh(&format!("readlink /proc/{process}/exe"))?;
    ensure!(
        runs == format!("/usr/bin/{program}"),
        "{unit} runs {runs}, which is not what is installed"
    );
    Ok(())
}

fn is_installed(machine: &Machine, version: &str) -> Result<()> {
    let installed = machine
        .sh("dpkg-query --show --showformat '${db:Status-Status} ${Version}' store-manager")?;
    let expected = format!("installed {version}");
    ensure!(
        installed == expected,
        "dpkg says `{installed}`, not `{expected}`"
    );
    Ok(())
}
