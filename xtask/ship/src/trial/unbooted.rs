//! The package in a root that is not booted, as when somebody makes an image of a machine: apt finds what the package
//! depends on, and its scripts find no systemd that runs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::passed;
use super::roots::{self, Suite};

/// Each check, and what it must print.
const CHECKS: [(&str, &str); 5] = [
    (
        "dpkg-query --show --showformat='${db:Status-Status}' systemd",
        "installed",
    ),
    (
        "stat -c '%U %G %a' /etc/store-manager/secrets",
        "root store-manager 750",
    ),
    (
        "stat -c '%U %G %a %s' /var/lib/store-manager/proxy/token",
        "store-manager store-manager 600 64",
    ),
    // Nothing is enabled.
    ("find /etc/systemd/system -name 'store-*'", ""),
    (
        "store-host --version >/dev/null && store-proxy --version >/dev/null",
        "",
    ),
];

/// Installs the package in a bare root, looks, and purges it.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn try_it(suite: Suite, package: &Path) -> Result<()> {
    let root = roots::fresh_and_bare(suite)?;
    let place = root.join("var/tmp/new.deb");
    fs::copy(package, &place).with_context(|| format!("copying to {}", place.display()))?;
    let apt = "DEBIAN_FRONTEND=noninteractive apt-get -qq";
    roots::in_chroot(
        &root,
        &format!("{apt} install --no-install-recommends /var/tmp/new.deb"),
    )?;
    for (check, expected) in CHECKS {
        let said = roots::in_chroot(&root, check)?;
        ensure!(
            said == expected,
            "`{check}` says `{said}`, not `{expected}`"
        );
    }
    roots::in_chroot(&root, &format!("{apt} purge store-manager"))?;
    let left = "find /etc /usr /var/lib/store-manager /var/cache/store-manager -name 'store-*' 2>/dev/null || true";
    let left = roots::in_chroot(&root, left)?;
    ensure!(left.is_empty(), "left after a purge: {left}");
    passed(&format!(
        "{suite}, not booted: apt installs what the package needs, and the package; purged, nothing of it is left"
    ));
    Ok(())
}
