//! The tarball, unpacked into an empty root.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use xtask::programs::require_program;

use super::{folder, passed};

/// Unpacks the tarball into an empty root and starts its programs there.
///
/// # Errors
/// If a program does not start.
pub(super) fn try_it(tarball: &Path) -> Result<()> {
    let root = folder().join("empty");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
    }
    fs::create_dir_all(&root).with_context(|| format!("creating {}", root.display()))?;
    let unpacked = std::process::Command::new("tar")
        .args(["--strip-components=1", "-xzf"])
        .arg(tarball)
        .arg("-C")
        .arg(&root)
        .status();
    ensure!(unpacked.context("running tar")?.success(), "tar fails");
    for program in ["/bin/store-host", "/bin/store-proxy"] {
        let output = std::process::Command::new(require_program("chroot")?)
            .arg(&root)
            .args([program, "--version"])
            .output()
            .context("running chroot")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{program} does not start without libraries"
        );
        println!("    {}", said.trim());
    }
    passed("the tarball's programs run in an empty root");
    Ok(())
}
