//! Bad input: each case must give one clear line, and stop the unit.

use anyhow::{Result, ensure};

use super::machine::Machine;
use super::passed;

/// Faults before the store has ever served. Then the missing settings are given, and the store starts.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn try_them(machine: &Machine) -> Result<()> {
    machine.sh(
        "mariadb -e \"CREATE USER store@127.0.0.1 IDENTIFIED BY 'a-secret'; GRANT ALL ON store.* TO store@127.0.0.1\"",
    )?;
    // A wrong setting that the migration detects too.
    fails_to_start(machine, "store-host@0")?;
    machine.gave_up(
        "store-host@0",
        2,
        &[
            "mysql_password",
            "No such file",
            "/etc/store-manager/secrets",
        ],
    )?;
    machine.sh(
        "install -o root -g store-manager -m 0640 /dev/stdin /etc/store-manager/secrets/mysql_password <<E\na-secret\nE",
    )?;

    machine.sh("mariadb -e 'CREATE DATABASE store' && systemctl mask --quiet store-migrate")?;
    fails_to_start(machine, "store-host@0")?;
    machine.gave_up("store-host@0", 3, &["schema 0", "store-host migrate"])?;
    machine.sh("systemctl unmask --quiet store-migrate")?;

    half_written(
        machine,
        "store-host@0",
        "/etc/store-manager/spin.toml",
        "spin.toml",
    )?;
    half_written(
        machine,
        "store-proxy",
        "/etc/store-manager/store-proxy.toml",
        "store-proxy.toml",
    )?;

    machine.sh("systemctl enable --quiet store-host@0 store-host@1 store-proxy")?;
    machine.sh("systemctl start store-host@0 store-host@1 store-proxy")?;
    machine
        .sh("store-host healthcheck && STORE_HOST_LISTEN=127.0.0.1:5001 store-host healthcheck")?;
    machine.sh("store-proxy healthcheck --config /etc/store-manager/store-proxy.toml")?;

    machine.sh("printf 'STORE_HOST_LISTEN=127.0.0.1:5000\\n' > /etc/store-manager/host-2.env")?;
    fails_to_start(machine, "store-host@2")?;
    machine.gave_up("store-host@2", 4, &["127.0.0.1:5000", "in use"])?;
    machine.sh("rm /etc/store-manager/host-2.env")?;
    passed(
        "a missing secret, an unmigrated database, half-written settings, a taken port: one line, and no loop",
    );
    Ok(())
}

/// Faults of a store that serves.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn try_later_ones(machine: &Machine) -> Result<()> {
    machine.sh("mariadb store -e \"INSERT INTO schema_migrations (version, name) VALUES (99, 'of-tomorrow')\"")?;
    let restarted = machine.try_sh("systemctl restart store-host@1")?;
    ensure!(
        restarted.code != Some(0),
        "a host serves a schema of tomorrow"
    );
    machine.gave_up("store-host@1", 3, &["schema 99", "newer store-host"])?;
    machine.sh("mariadb store -e 'DELETE FROM schema_migrations WHERE version = 99'")?;
    machine.sh("systemctl start store-host@1")?;
    passed("a database that a newer version has migrated: one line, and no loop");

    // A configuration file that breaks while the proxy serves changes nothing.
    machine.sh("cp /etc/store-manager/store-proxy.toml /var/tmp/whole && echo '[upstreams.store.hea' >> /etc/store-manager/store-proxy.toml")?;
    let reloaded = machine.try_sh("systemctl reload store-proxy")?;
    ensure!(reloaded.code != Some(0), "half a file is taken up");
    machine.sh("curl -sf http://127.0.0.1:8080/health-check && systemctl is-active store-proxy")?;
    machine.sh(
        "cp /var/tmp/whole /etc/store-manager/store-proxy.toml && systemctl reload store-proxy",
    )?;
    passed("half a file at a reload: the old settings stay in force");

    hung(machine, "store-host@1")?;
    hung(machine, "store-proxy")
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

fn fails_to_start(machine: &Machine, unit: &str) -> Result<()> {
    let started = machine.try_sh(&format!("systemctl start {unit}"))?;
    ensure!(started.code != Some(0), "{unit} starts, and should not");
    Ok(())
}

/// A file as an editor leaves it that is killed while it writes.
fn half_written(machine: &Machine, unit: &str, file: &str, name: &str) -> Result<()> {
    machine.sh(&format!(
        "cp {file} /var/tmp/whole && head -c 250 /var/tmp/whole > {file} && printf '\\n[upstr' >> {file}"
    ))?;
    fails_to_start(machine, unit)?;
    machine.gave_up(unit, 2, &[name])?;
    machine.sh(&format!(
        "cp /var/tmp/whole {file} && systemctl reset-failed {unit}"
    ))?;
    Ok(())
}
