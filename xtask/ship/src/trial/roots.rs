//! Debian roots with the servers that a store needs. They are made once and copied for each trial.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xtask::programs::require_program;

use super::folder;

/// A version of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    Bookworm,
    Trixie,
}

impl Suite {
    pub(super) const ALL: [Self; 2] = [Self::Bookworm, Self::Trixie];

    fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bookworm => f.write_str("Debian 12"),
            Self::Trixie => f.write_str("Debian 13"),
        }
    }
}

/// The packages in addition to a minimal Debian. The last one is a module for name resolution, which a static program
/// must not load.
const PACKAGES: &str =
    "systemd systemd-sysv dbus procps curl mariadb-server redis-server libnss-myhostname";

/// The programs that come with Debian's tools for making roots.
const TOOLS: [&str; 2] = ["debootstrap", "systemd-nspawn"];

/// A fresh root of `suite`.
///
/// # Errors
/// If the root can't be made.
pub(super) fn fresh(suite: Suite) -> Result<PathBuf> {
    for tool in TOOLS {
        require_program(tool).context("Debian's packages are debootstrap and systemd-container")?;
    }
    let base = base(suite)?;
    let root = folder().join("roots").join(suite.name());
    remove(&root)?;
    run("cp", [OsStr::new("-a"), base.as_os_str(), root.as_os_str()])?;
    Ok(root)
}

/// The root from which the others are copied.
fn base(suite: Suite) -> Result<PathBuf> {
    let base = folder()
        .join("roots")
        .join(format!("{}-base", suite.name()));
    let is_complete = base.join("complete");
    if is_complete.exists() {
        return Ok(base);
    }
    remove(&base)?;
    eprintln!("▸ make a root of {suite}");
    let parent = base.parent().unwrap_or(&base);
    fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    let unfinished = base.as_os_str();
    run(
        "debootstrap",
        [
            OsStr::new("--variant=minbase"),
            OsStr::new(suite.name()),
            unfinished,
        ],
    )?;
    // Keeps packages from starting their services, because this root is not booted.
    let no_starts = base.join("usr/sbin/policy-rc.d");
    fs::write(&no_starts, "#!/bin/sh\nexit 101\n").context("writing policy-rc.d")?;
    let install = format!(
        "chmod +x /usr/sbin/policy-rc.d && apt-get update -qq && \
         DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends {PACKAGES} && \
         rm /usr/sbin/policy-rc.d && apt-get clean"
    );
    run(
        "chroot",
        [
            unfinished,
            OsStr::new("sh"),
            OsStr::new("-c"),
            OsStr::new(&install),
        ],
    )?;
    fs::write(&is_complete, "").context("marking a root as complete")?;
    Ok(base)
}

fn remove(root: &Path) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("removing {}", root.display()))?;
    }
    Ok(())
}

fn run<const N: usize>(program: &str, args: [&OsStr; N]) -> Result<()> {
    let output = Command::new(program).args(args).output();
    let output = output.with_context(|| format!("running {program}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let tail = said.len().saturating_sub(2000);
    let tail = said.get(tail..).unwrap_or_default();
    ensure!(output.status.success(), "{program}: {}", tail.trim());
    Ok(())
}
