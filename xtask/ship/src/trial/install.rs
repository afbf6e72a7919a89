//! Checks the package before and after its installation, and the sandbox of its units.

use anyhow::{Context, Result, ensure};

use super::machine::Machine;
use super::passed;
use crate::deb::UNITS;

/// The highest exposure that `systemd-analyze security` may report for a unit, on its scale from 0 to 10.
const HIGHEST_EXPOSURE: f64 = 2.5;

/// Installs the package on a machine that has never seen it.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn try_it(machine: &Machine) -> Result<()> {
    machine.sh("apt-get install -qq /var/tmp/new.deb")?;
    let secrets = machine.sh("stat -c '%U %G %a' /etc/store-manager/secrets")?;
    ensure!(
        secrets == "root store-manager 750",
        "the folder for secrets is {secrets}"
    );
    machine.sh("store-host --version && store-proxy --version && store-host --help >/dev/null")?;
    for unit in UNITS {
        let unit = unit.replace('@', "@0");
        let state = machine.property(&unit, "ActiveState")?;
        ensure!(
            state == "inactive",
            "{unit} is {state} after it was installed"
        );
        exposure(machine, &unit)?;
    }
    let complaints = machine.sh(
        "systemd-analyze verify --man=no store-host@0.service store-proxy.service store-migrate.service 2>&1 | grep store || true",
    )?;
    ensure!(
        complaints.is_empty(),
        "systemd-analyze verify: {complaints}"
    );
    passed("installed: nothing runs yet, a user and a folder for secrets are there");
    Ok(())
}

fn exposure(machine: &Machine, unit: &str) -> Result<()> {
    let said = machine.sh(&format!(
        "systemd-analyze security --offline=true {unit} --no-pager | tail -1"
    ))?;
    let exposure = said
        .split_once("service: ")
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<f64>().ok());
    let exposure = exposure.with_context(|| format!("systemd-analyze says `{said}`"))?;
    ensure!(
        exposure <= HIGHEST_EXPOSURE,
        "{unit}'s exposure is {exposure}"
    );
    println!("    {unit}: exposure {exposure}");
    Ok(())
}
