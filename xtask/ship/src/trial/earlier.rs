//! The packages that upgrades are tried with: an earlier one, and one whose hosts do not come up.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xtask::programs::require_program;

use super::folder;
use crate::contents::Contents;
use crate::deb;
use crate::files::{Files, PROGRAM};
use crate::release::Release;

/// The version of an earlier package that is made of today's files.
const MADE_UP: &str = "0.0.9";

/// What stands in all files by which such a package differs from the new one.
pub(super) const MARK: &str = "STORE_OF_AN_EARLIER_VERSION";

/// A component's section that nothing reads: its id, its length, that of its name, and its name.
const SECTION: &[u8] = b"\x00\x08\x07earlier";

/// A host that migrates and does not come up.
const BROKEN: &str = "#!/bin/sh
[ \"$1\" = migrate ] && exit 0
echo 'store-host: this version does not come up' >&2
exit 2
";

/// The package from which the trial upgrades.
pub(super) struct EarlierPackage {
    pub(super) path: PathBuf,
    pub(super) version: String,
    /// Whether it is made of today's files, each of them changed a little.
    pub(super) is_made_up: bool,
}

impl EarlierPackage {
    /// The given package, or one that is made of today's files. All that an upgrade treats in a way of its own differs
    /// in that: programs, a component, units, and settings.
    ///
    /// A given package of today's version gets a lower one.
    ///
    /// # Errors
    /// If the package can't be made.
    pub(super) fn new(
        given: Option<&[u8]>,
        contents: &Contents,
        release: &Release,
    ) -> Result<Self> {
        let Some(bytes) = given else {
            let path = deb::build_changed(
                &contents.as_version(MADE_UP),
                release,
                &folder(),
                made_earlier,
            )?;
            return Ok(Self {
                path,
                version: MADE_UP.to_owned(),
                is_made_up: true,
            });
        };
        let path = folder().join("given.deb");
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
        let version = version_of(&path)?;
        let is_made_up = false;
        if is_before(&version, &release.version)? {
            return Ok(Self {
                path,
                version,
                is_made_up,
            });
        }
        Ok(Self {
            path: with_lower_version(&path, &version)?,
            version: MADE_UP.to_owned(),
            is_made_up,
        })
    }

    /// What it is, for the report.
    pub(super) fn what(&self) -> String {
        let version = &self.version;
        match self.is_made_up {
            true => format!(
                "{version}, today's programs, component, units and settings with a change in each"
            ),
            false => format!("{version}, the package that was given"),
        }
    }
}

/// A package of a version after the new one, whose hosts do not come up.
///
/// # Errors
/// If the package can't be made.
pub(super) fn broken(contents: &Contents, release: &Release) -> Result<PathBuf> {
    let version = format!("{}+broken", release.version);
    let contents = contents.as_version(&version);
    deb::build_changed(&contents, release, &folder(), |files| {
        files.add("usr/bin/store-host", PROGRAM, BROKEN);
        Ok(())
    })
}

fn made_earlier(files: &mut Files) -> Result<()> {
    let comment = format!("\n# {MARK}\n");
    let variable = format!("\n[Service]\nEnvironment={MARK}=1\n");
    for program in ["usr/bin/store-host", "usr/bin/store-proxy"] {
        // Programs may have bytes after their end.
        files.append(program, comment.as_bytes())?;
    }
    files.append("usr/lib/store-manager/reports.wasm", SECTION)?;
    for settings in ["etc/store-manager/spin.toml", "etc/store-manager/host.env"] {
        files.append(settings, comment.as_bytes())?;
    }
    for unit in deb::UNITS {
        let place = format!("usr/lib/systemd/system/{unit}");
        files.append(&place, variable.as_bytes())?;
    }
    Ok(())
}

fn version_of(package: &Path) -> Result<String> {
    let version = dpkg_deb(&[
        OsStr::new("--field"),
        package.as_os_str(),
        OsStr::new("Version"),
    ])?;
    Ok(version.trim().to_owned())
}

fn is_before(earlier: &str, new: &str) -> Result<bool> {
    let compared = Command::new(require_program("dpkg")?)
        .args(["--compare-versions", earlier, "lt", new])
        .status()
        .context("running dpkg")?;
    Ok(compared.success())
}

/// The same package under a lower version: all commits before a release have that release's version.
fn with_lower_version(package: &Path, version: &str) -> Result<PathBuf> {
    let files = folder().join("given");
    if files.exists() {
        fs::remove_dir_all(&files).with_context(|| format!("removing {}", files.display()))?;
    }
    dpkg_deb(&[
        OsStr::new("--raw-extract"),
        package.as_os_str(),
        files.as_os_str(),
    ])?;
    let control = files.join("DEBIAN/control");
    let rename = || {
        let text = fs::read_to_string(&control)?;
        let (old, new) = (
            format!("\nVersion: {version}\n"),
            format!("\nVersion: {MADE_UP}\n"),
        );
        fs::write(&control, text.replace(&old, &new))
    };
    rename().with_context(|| format!("changing {}", control.display()))?;
    let renamed = folder().join("earlier.deb");
    dpkg_deb(&[
        OsStr::new("--root-owner-group"),
        OsStr::new("--build"),
        files.as_os_str(),
        renamed.as_os_str(),
    ])?;
    Ok(renamed)
}

/// What dpkg-deb prints.
fn dpkg_deb(args: &[&OsStr]) -> Result<String> {
    let output = Command::new(require_program("dpkg-deb")?)
        .args(args)
        .output()
        .context("running dpkg-deb")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "dpkg-deb {args:?}, for --earlier: {}",
        said.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
