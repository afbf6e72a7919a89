//! The Debian package. Its own files are in `deploy/debian`; dpkg's own tool writes it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xtask::paths;
use xtask::programs::require_program;

use crate::contents::{Contents, of_repository};
use crate::files::{DATA, Files, PROGRAM, gzip};
use crate::manifest::{with_components_in, without_defaults};
use crate::release::Release;

/// The package's name.
pub(crate) const NAME: &str = "store-manager";

/// The folder of the package's components on the machine.
const LIBRARY: &str = "usr/lib/store-manager";

/// The package's systemd units.
pub(crate) const UNITS: [&str; 3] = [
    "store-host@.service",
    "store-migrate.service",
    "store-proxy.service",
];

/// The files that an administrator edits: conffiles, so dpkg asks before it overwrites them.
const SETTINGS: [&str; 2] = ["host.env", "store-proxy.toml"];

/// The scripts that dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Documents, by their path in the repository.
const DOCUMENTS: [&str; 6] = [
    "README.md",
    "docs/DEPLOY.md",
    "docs/PROXY.md",
    "docs/RUNBOOK.md",
    "docs/SETTINGS.md",
    "proxy/store-proxy.example.toml",
];

/// Writes the package to the folder `out`, and returns its path.
///
/// # Errors
/// If a file can't be read or written, or dpkg refuses the package.
pub(crate) fn build(contents: &Contents, release: &Release, out: &Path) -> Result<PathBuf> {
    build_changed(contents, release, out, |_| Ok(()))
}

/// As [`build`], with files that `change` has changed, by their paths in the package.
///
/// # Errors
/// As [`build`], and those of `change`.
pub(crate) fn build_changed(
    contents: &Contents,
    release: &Release,
    out: &Path,
    change: impl FnOnce(&mut Files) -> Result<()>,
) -> Result<PathBuf> {
    let mut files = machine(contents)?;
    let settings = settings(contents)?;
    let paths: Vec<&String> = settings.iter().map(|(path, _)| path).collect();
    let conffiles = paths.iter().fold(String::new(), |mut text, path| {
        let _ = writeln!(text, "/{path}");
        text
    });
    for (path, text) in &settings {
        files.add(path.clone(), DATA, text.as_str());
    }
    files.add("DEBIAN/conffiles", DATA, conffiles);
    files.add("DEBIAN/control", DATA, control(contents, &files)?);
    for script in SCRIPTS {
        let text = of_repository(&format!("deploy/debian/{script}"))?;
        files.add(format!("DEBIAN/{script}"), PROGRAM, text);
    }
    change(&mut files)?;
    pack(&files, &contents.version, release.epoch, out)
}

/// The files under `/usr`.
fn machine(contents: &Contents) -> Result<Files> {
    let mut files = Files::default();
    files.add("usr/bin/store-host", PROGRAM, contents.host.as_slice());
    files.add("usr/bin/store-proxy", PROGRAM, contents.proxy.as_slice());
    for (name, bytes) in &contents.components {
        files.add(format!("{LIBRARY}/{name}"), DATA, bytes.as_slice());
    }
    for unit in UNITS {
        let text = of_repository(&format!("deploy/debian/{unit}"))?;
        files.add(format!("usr/lib/systemd/system/{unit}"), DATA, text);
    }
    let sysusers = of_repository("deploy/debian/sysusers.conf")?;
    files.add(format!("usr/lib/sysusers.d/{NAME}.conf"), DATA, sysusers);
    for manual in &contents.manuals {
        let program = manual.program;
        let bash = format!("usr/share/bash-completion/completions/{program}");
        files.add(bash, DATA, manual.bash.as_slice());
        let zsh = format!("usr/share/zsh/vendor-completions/_{program}");
        files.add(zsh, DATA, manual.zsh.as_slice());
        let fish = format!("usr/share/fish/vendor_completions.d/{program}.fish");
        files.add(fish, DATA, manual.fish.as_slice());
        for (name, page) in &manual.pages {
            files.add(format!("usr/share/man/man1/{name}.gz"), DATA, gzip(page)?);
        }
    }
    let documents = format!("usr/share/doc/{NAME}");
    for path in DOCUMENTS {
        let name = path.rsplit('/').next().unwrap_or(path);
        files.add(format!("{documents}/{name}"), DATA, of_repository(path)?);
    }
    let changes = of_repository("CHANGELOG.md")?;
    files.add(
        format!("{documents}/changelog.gz"),
        DATA,
        gzip(changes.as_bytes())?,
    );
    let licences = of_repository("deploy/debian/copyright")?;
    files.add(format!("{documents}/copyright"), DATA, licences);
    Ok(files)
}

/// The files under `/etc`, with their paths.
fn settings(contents: &Contents) -> Result<Vec<(String, String)>> {
    let place = |name: &str| format!("etc/{NAME}/{name}");
    let set = set_variables(&of_repository("deploy/debian/host.env")?);
    let app = without_defaults(&contents.manifest, &set)?;
    let app = with_components_in(&app, &format!("/{LIBRARY}/"));
    let mut settings = vec![(place("spin.toml"), app)];
    for name in SETTINGS {
        let text = of_repository(&format!("deploy/debian/{name}"))?;
        settings.push((place(name), text));
    }
    Ok(settings)
}

/// The app's variables that `host.env` sets. They have no default in the package's `spin.toml`: systemd ignores what an
/// editor has left of a line, and the host would look for its database on this machine.
fn set_variables(env: &str) -> Vec<String> {
    let names = env.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("SPIN_VARIABLE_")?.split_once('=')?;
        Some(name.to_lowercase())
    });
    names.collect()
}

fn control(contents: &Contents, files: &Files) -> Result<String> {
    let control = of_repository("deploy/debian/control")?;
    Ok(control
        .replace("@VERSION@", &contents.version)
        .replace("@SIZE@", &files.kibibytes().to_string()))
}

fn pack(files: &Files, version: &str, epoch: u64, out: &Path) -> Result<PathBuf> {
    let folder = paths::target().join("ship/deb");
    files.unfold(&folder)?;
    let path = out.join(format!("{NAME}_{version}_amd64.deb"));
    let packed = Command::new(require_program("dpkg-deb")?)
        .args(["--root-owner-group", "-Zxz", "--threads-max=1", "--build"])
        .arg(&folder)
        .arg(&path)
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .output()
        .context("running dpkg-deb")?;
    let said = String::from_utf8_lossy(&packed.stderr);
    ensure!(packed.status.success(), "dpkg-deb: {}", said.trim());
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packaged_app_has_no_default_for_what_its_settings_say() -> Result<()> {
        let set = set_variables(&of_repository("deploy/debian/host.env")?);
        assert!(set.iter().any(|name| name == "mysql_address"), "{set:?}");
        let app = of_repository("spin.toml")?;
        let packaged = without_defaults(&app, &set)?;
        for name in &set {
            let required = format!("\n{name} = {{ required = true");
            assert!(packaged.contains(&required), "{packaged}");
        }
        Ok(())
    }
}
