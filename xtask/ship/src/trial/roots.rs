//! Debian roots with the servers that a store needs. They are made once and copied for each trial.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xtask::programs::require_program;

use super::folder;
use crate::contents::of_repository;

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

/// The packages of a booted root, in addition to a minimal Debian: servers, shells and a pager for what is shipped for
/// them, and a module for name resolution, which a static program must not load.
const PACKAGES: &str = "systemd systemd-sysv dbus procps curl mariadb-server redis-server man-db zsh fish \
                        libnss-myhostname";

/// The programs that come with Debian's tools for making roots.
const TOOLS: [&str; 2] = ["debootstrap", "systemd-nspawn"];

/// A fresh root of `suite` to boot, with the servers that a store needs.
///
/// # Errors
/// If the root can't be made.
pub(super) fn fresh(suite: Suite) -> Result<PathBuf> {
    copy(&base(suite)?, suite.name())
}

/// A fresh root of `suite` with nothing but a minimal Debian, and what the package depends on to be installed there.
///
/// # Errors
/// If the root can't be made.
pub(super) fn fresh_and_bare(suite: Suite) -> Result<PathBuf> {
    copy(&bare(suite)?, &format!("{}-unbooted", suite.name()))
}

fn copy(base: &Path, name: &str) -> Result<PathBuf> {
    let root = folder().join("roots").join(name);
    remove(&root)?;
    run("cp", [OsStr::new("-a"), base.as_os_str(), root.as_os_str()])?;
    Ok(root)
}

/// Makes the root `name` once, and again when what it is made of has changed.
fn made_once(name: &str, made_of: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    for tool in TOOLS {
        require_program(tool).context("Debian's packages are debootstrap and systemd-container")?;
    }
    let root = folder().join("roots").join(name);
    let is_complete = root.join("complete");
    if fs::read_to_string(&is_complete).is_ok_and(|found| found == made_of) {
        return Ok(root);
    }
    remove(&root)?;
    let parent = root.parent().unwrap_or(&root);
    fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    make(&root)?;
    fs::write(&is_complete, made_of).context("marking a root as complete")?;
    Ok(root)
}

/// The minimal root from which bare ones are copied.
fn bare(suite: Suite) -> Result<PathBuf> {
    let needed = dependencies()?;
    made_once(&format!("{}-bare", suite.name()), &needed, |root| {
        eprintln!("▸ make a bare root of {suite}");
        run(
            "debootstrap",
            [
                OsStr::new("--variant=minbase"),
                OsStr::new(suite.name()),
                root.as_os_str(),
            ],
        )?;
        // Downloaded, so that apt finds them without a network.
        let download = format!(
            "apt-get update -qq && \
             apt-get install -qq --no-install-recommends --download-only {needed}"
        );
        in_chroot(root, &download).map(drop)
    })
}

/// The packages that ours depends on.
fn dependencies() -> Result<String> {
    let control = of_repository("deploy/debian/control")?;
    let mut lines = control.lines();
    let depends = lines.find_map(|line| line.strip_prefix("Depends: "));
    let depends = depends.context("deploy/debian/control says nothing of what it depends on")?;
    Ok(depends.replace(',', ""))
}

/// The root from which those to boot are copied.
fn base(suite: Suite) -> Result<PathBuf> {
    let bare = bare(suite)?;
    made_once(&format!("{}-base", suite.name()), PACKAGES, |root| {
        eprintln!("▸ make a root of {suite}");
        run("cp", [OsStr::new("-a"), bare.as_os_str(), root.as_os_str()])?;
        install(root)
    })
}

fn install(base: &Path) -> Result<()> {
    // Keeps packages from starting their services, because this root is not booted.
    let no_starts = base.join("usr/sbin/policy-rc.d");
    fs::write(&no_starts, "#!/bin/sh\nexit 101\n").context("writing policy-rc.d")?;
    let install = format!(
        "chmod +x /usr/sbin/policy-rc.d && apt-get update -qq && \
         DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends {PACKAGES} && \
         rm /usr/sbin/policy-rc.d && apt-get clean"
    );
    in_chroot(base, &install).map(drop)
}

/// Runs a shell command line in a root that is not booted, and returns its output.
///
/// # Errors
/// If the command fails.
pub(super) fn in_chroot(root: &Path, script: &str) -> Result<String> {
    run(
        "chroot",
        [
            root.as_os_str(),
            OsStr::new("sh"),
            OsStr::new("-c"),
            OsStr::new(script),
        ],
    )
    .with_context(|| format!("`{script}` in {}", root.display()))
}

fn remove(root: &Path) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("removing {}", root.display()))?;
    }
    Ok(())
}

fn run<const N: usize>(program: &str, args: [&OsStr; N]) -> Result<String> {
    let output = Command::new(program).args(args).output();
    let output = output.with_context(|| format!("running {program}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let tail = said.len().saturating_sub(2000);
    let tail = said.get(tail..).unwrap_or_default();
    ensure!(output.status.success(), "{program}: {}", tail.trim());
    Ok(said.trim().to_owned())
}
