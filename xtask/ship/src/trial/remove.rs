//! Removing the package keeps the administrator's files; purging it does not.

use anyhow::{Result, ensure};

use super::machine::Machine;
use super::passed;

/// Removes the package, then purges it.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn try_it(machine: &Machine) -> Result<()> {
    machine.sh("apt-get remove -qq store-manager")?;
    let left = machine.try_sh("pgrep -l '^store-'")?;
    ensure!(
        left.text.is_empty(),
        "still running after removal: {}",
        left.text
    );
    machine.sh("test ! -e /usr/bin/store-host && test ! -e /usr/lib/store-manager")?;
    machine.sh(
        "test -s /etc/store-manager/secrets/mysql_password && test -s /etc/store-manager/host.env",
    )?;
    machine.sh(
        "test -d /var/lib/store-manager/host-0 && test -s /var/lib/store-manager/proxy/token",
    )?;
    passed("removed: nothing runs, settings, secrets and data are there");

    machine.sh("apt-get install -qq /var/tmp/new.deb && systemctl start store-host@0 store-host@1 store-proxy")?;
    machine.wait_for(
        "curl -s http://127.0.0.1:8080/users/1 | grep -c ada@example.com",
        "1",
    )?;
    passed("installed again: it goes on with them");

    machine.sh("apt-get purge -qq store-manager")?;
    let left = machine.sh("find /etc /usr /var /run/store-proxy -path /var/lib/mysql -prune -o -name 'store-*' -print 2>/dev/null | grep -v -e /var/lib/dpkg -e /var/lib/apt || true")?;
    ensure!(left.is_empty(), "left after a purge: {left}");
    let units = machine.sh("systemctl list-units --all --plain --no-legend 'store-*'")?;
    ensure!(
        !units.contains("active running"),
        "left after a purge: {units}"
    );
    // The database does not belong to the package.
    machine.sh("mariadb store -e 'SELECT 1 FROM users'")?;
    passed("purged: nothing of it is left, and the database is as it was");
    Ok(())
}
