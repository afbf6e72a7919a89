//! Bad input: each case must give one clear line, and stop the unit.

use anyhow::{Result, ensure};

use super::machine::Machine;
use super::passed;

/// The files with settings.
const APP: &str = "/etc/store-manager/spin.toml";
const PROXY: &str = "/etc/store-manager/store-proxy.toml";
const HOSTS: &str = "/etc/store-manager/host.env";

/// Faults before the store has ever served. Then the missing settings are given, and the store starts.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn try_them(machine: &Machine) -> Result<()> {
    secrets(machine)?;
    // systemd skips what is left of a line.
    let cut = "sed -i '/^SPIN_VARIABLE_MYSQL_ADDRESS/,$d'";
    let cut = format!("{cut} {HOSTS} && printf 'SPIN_VARIABLE_MYSQL_ADD' >> {HOSTS}");
    let missing = ["mysql_address", "SPIN_VARIABLE_MYSQL_ADDRESS"];
    with_changed(machine, HOSTS, &cut, "store-host@0", 2, &missing)?;

    // Of the cases before, the last one has migrated.
    let empty = "mariadb -e 'DROP DATABASE IF EXISTS store; CREATE DATABASE store'";
    machine.sh(&format!("{empty} && systemctl mask --quiet store-migrate"))?;
    refuses(
        machine,
        "store-host@0",
        3,
        &["schema 0", "store-host migrate"],
    )?;
    machine.sh("systemctl unmask --quiet store-migrate")?;
    passed("a missing, empty or wrong secret, an unmigrated database: one line, and no loop");

    for (unit, file, name) in [
        ("store-host@0", APP, "spin.toml"),
        ("store-proxy", PROXY, "store-proxy.toml"),
    ] {
        // A file as an editor leaves it that is killed while it writes.
        let half = format!("head -c 250 /var/tmp/whole > {file} && printf '\\n[upstr' >> {file}");
        with_changed(machine, file, &half, unit, 2, &[name])?;
    }
    let component = "/usr/lib/store-manager/reports.wasm";
    let half = "head -c $(( $(stat -c %s /var/tmp/whole) / 2 )) /var/tmp/whole";
    let half = format!("{half} > {component}");
    let said = ["component.reports.source", component, "does not compile"];
    with_changed(machine, component, &half, "store-host@0", 2, &said)?;
    passed("half-written settings, half a component: one line, and no loop");

    machine.sh("systemctl enable --quiet store-host@0 store-host@1 store-proxy")?;
    machine.sh("systemctl start store-host@0 store-host@1")?;
    ports(machine)?;
    proxy_files(machine)?;
    machine.sh("systemctl start store-proxy")?;
    machine
        .sh("store-host healthcheck && STORE_HOST_LISTEN=127.0.0.1:5001 store-host healthcheck")?;
    machine.sh("store-proxy healthcheck --config /etc/store-manager/store-proxy.toml")?;
    passed(
        "a taken port, one that is not for services, a missing certificate or token: one line, and no loop",
    );
    Ok(())
}

fn secrets(machine: &Machine) -> Result<()> {
    // Migrations run before the host, and detect the same.
    let missing = [
        "mysql_password",
        "No such file",
        "/etc/store-manager/secrets",
    ];
    refuses(machine, "store-host@0", 2, &missing)?;
    write_password(machine, "")?;
    refuses(machine, "store-host@0", 2, &["mysql_password", "is empty"])?;
    write_password(machine, "not-the-secret")?;
    let denied = ["MySQL at", "Access denied", "check the user, password"];
    refuses(machine, "store-host@0", 2, &denied)?;
    write_password(machine, super::PASSWORD)?;
    let token = "rm /var/lib/store-manager/proxy/token";
    let said = ["--proxy-token-file", "proxy/token", "No such file"];
    let file = "/var/lib/store-manager/proxy/token";
    with_changed(machine, file, token, "store-host@0", 2, &said)
}

/// Writes the password of the database's user to its file, as DEPLOY.md says.
///
/// # Errors
/// If a command fails.
pub(super) fn write_password(machine: &Machine, password: &str) -> Result<()> {
    let file = "/etc/store-manager/secrets/mysql_password";
    machine.sh(&format!(
        "printf '%s' '{password}' | install -o root -g store-manager -m 0640 /dev/stdin {file}"
    ))?;
    Ok(())
}

fn ports(machine: &Machine) -> Result<()> {
    for (port, code, said) in [(5000, 4, "in use"), (80, 2, "ermission denied")] {
        let address = format!("127.0.0.1:{port}");
        machine.sh(&format!(
            "echo STORE_HOST_LISTEN={address} > /etc/store-manager/host-2.env"
        ))?;
        refuses(machine, "store-host@2", code, &[&address, said])?;
    }
    machine.sh("rm /etc/store-manager/host-2.env && systemctl reset-failed store-host@2")?;

    machine.sh("echo STORE_HOST_LISTEN=127.0.0.1:8080 > /etc/store-manager/host-3.env")?;
    machine.sh("systemctl start store-host@3")?;
    refuses(machine, "store-proxy", 4, &["127.0.0.1:8080", "in use"])?;
    machine.sh("systemctl stop store-host@3 && rm /etc/store-manager/host-3.env")?;
    let low = format!("sed -i 's/^address = .*/address = \"127.0.0.1:80\"/' {PROXY}");
    let said = ["127.0.0.1:80", "ermission denied"];
    with_changed(machine, PROXY, &low, "store-proxy", 2, &said)
}

fn proxy_files(machine: &Machine) -> Result<()> {
    let files =
        "certificate = \"/etc/store-manager/none.pem\", key = \"/etc/store-manager/none.key\"";
    let with_tls = format!("sed -i '/^address = /a tls = {{ {files} }}' {PROXY}");
    with_changed(machine, PROXY, &with_tls, "store-proxy", 2, &["none.pem"])?;
    // The proxy makes its token itself, but not among the secrets.
    let token = "/etc/store-manager/secrets/proxy_token";
    let elsewhere =
        format!("sed -i 's#^admin_token_file = .*#admin_token_file = \"{token}\"#' {PROXY}");
    let said = ["server.admin_token_file", token];
    with_changed(machine, PROXY, &elsewhere, "store-proxy", 2, &said)
}

/// Faults of a store that serves.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn try_later_ones(machine: &Machine) -> Result<()> {
    machine.sh("mariadb store -e \"INSERT INTO schema_migrations (version, name) VALUES (99, 'of-tomorrow')\"")?;
    machine.gives_up(
        "systemctl restart store-host@1",
        "store-host@1",
        3,
        &["schema 99", "newer store-host"],
    )?;
    machine.sh("mariadb store -e 'DELETE FROM schema_migrations WHERE version = 99'")?;
    machine.sh("systemctl start store-host@1")?;
    passed("a database that a newer version has migrated: one line, and no loop");

    waited_for(machine)?;
    half_at_a_reload(machine, "store-host@0", APP, "127.0.0.1:5000")?;
    half_at_a_reload(machine, "store-proxy", PROXY, "127.0.0.1:8080")?;
    machine.sh("systemctl reload 'store-host@*'")?;
    passed("half a file at a reload: the reload fails, and the old settings stay in force");

    hung(machine, "store-host@1")?;
    hung(machine, "store-proxy")
}

/// A database that is away may come back, so hosts try again for as long as it takes.
fn waited_for(machine: &Machine) -> Result<()> {
    // Its sockets too: systemd would start it again for a client.
    machine.sh("systemctl stop 'mariadb*'")?;
    let restarted = machine.try_sh("timeout 60 systemctl restart store-host@1")?;
    ensure!(
        restarted.code != Some(0),
        "a host starts without its database: {}",
        restarted.text
    );
    machine.wait_for(
        "systemctl show --value --property=NRestarts store-host@1 | grep -c '^[1-9]'",
        "1",
    )?;
    machine.sh("systemctl start mariadb")?;
    machine.wait_for("systemctl is-active store-host@1", "active")?;
    machine.wait_for(
        "STORE_HOST_LISTEN=127.0.0.1:5001 store-host healthcheck",
        "ready",
    )?;
    machine.wait_for("store-host healthcheck", "ready")?;
    passed("a database that is away for a while: the host is started until it is back");
    Ok(())
}

/// A file that breaks while its unit serves changes nothing, and the command that asks for a reload fails.
fn half_at_a_reload(machine: &Machine, unit: &str, file: &str, address: &str) -> Result<()> {
    machine.sh(&format!(
        "cp {file} /var/tmp/whole && printf '\\n[upstr' >> {file}"
    ))?;
    let reload = format!("systemctl reload {unit}");
    let reloaded = machine.try_sh(&reload)?;
    ensure!(
        reloaded.code != Some(0),
        "`{reload}` takes up half of {file}: {}",
        reloaded.text
    );
    machine.sh(&format!(
        "curl -sf http://{address}/health-check && systemctl is-active {unit}"
    ))?;
    machine.sh(&format!("cp /var/tmp/whole {file} && {reload}"))?;
    machine.sh(&format!(
        "curl -sf http://{address}/health-check && systemctl is-active {unit}"
    ))?;
    Ok(())
}

/// A process that stops sending watchdog messages is replaced.
fn hung(machine: &Machine, unit: &str) -> Result<()> {
    machine.sh(&format!(
        "mkdir -p /run/systemd/system/{unit}.service.d && printf '[Service]\\nWatchdogSec=2s\\nTimeoutAbortSec=2s\\n' > /run/systemd/system/{unit}.service.d/sooner.conf && \
         systemctl daemon-reload && systemctl restart {unit} && sleep 5 && systemctl is-active {unit}"
    ))?;
    ensure!(
        machine.property(unit, "NRestarts")? == "0",
        "{unit} says too seldom that it is alive"
    );
    machine.sh(&format!(
        "kill -STOP $(systemctl show --value --property=MainPID {unit})"
    ))?;
    machine.wait_for(
        &format!("systemctl show --value --property=NRestarts {unit}"),
        "1",
    )?;
    machine.wait_for(&format!("systemctl is-active {unit}"), "active")?;
    machine.sh(&format!(
        "rm -r /run/systemd/system/{unit}.service.d && systemctl daemon-reload"
    ))?;
    passed(&format!("{unit} hangs: the watchdog starts it again"));
    Ok(())
}

fn refuses(machine: &Machine, unit: &str, code: i32, parts: &[&str]) -> Result<()> {
    machine.gives_up(&format!("systemctl start {unit}"), unit, code, parts)
}

/// Changes a file by a command, checks that the unit refuses it, and puts the file back, of which `/var/tmp/whole` is a
/// copy.
fn with_changed(
    machine: &Machine,
    file: &str,
    change: &str,
    unit: &str,
    code: i32,
    parts: &[&str],
) -> Result<()> {
    machine.sh(&format!("cp -a {file} /var/tmp/whole && {change}"))?;
    refuses(machine, unit, code, parts)?;
    machine.sh(&format!(
        "cp -a /var/tmp/whole {file} && systemctl reset-failed {unit}"
    ))?;
    Ok(())
}
