//! The tarball: for a Linux without a package format of ours, or for users who are not root.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::contents::{Contents, of_repository};
use crate::files::{DATA, Files, PROGRAM, gzip};
use crate::manifest::with_components_in;
use crate::release::Release;

/// Texts in the tarball: the path in the repository, and the path in the tarball.
const TEXTS: [(&str, &str); 10] = [
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("docs/DEPLOY.md", "docs/DEPLOY.md"),
    ("docs/SETTINGS.md", "docs/SETTINGS.md"),
    ("docs/PROXY.md", "docs/PROXY.md"),
    ("docs/RUNBOOK.md", "docs/RUNBOOK.md"),
    (
        "deploy/tarball/store-host.example.env",
        "store-host.example.env",
    ),
    ("proxy/store-proxy.example.toml", "store-proxy.example.toml"),
];

/// Writes the tarball to the folder `out`, and returns its path.
///
/// # Errors
/// If the tarball can't be written.
pub(crate) fn write(contents: &Contents, release: &Release, out: &Path) -> Result<PathBuf> {
    let mut files = Files::default();
    files.add("bin/store-host", PROGRAM, contents.host.as_slice());
    files.add("bin/store-proxy", PROGRAM, contents.proxy.as_slice());
    for (name, bytes) in &contents.components {
        files.add(format!("components/{name}"), DATA, bytes.as_slice());
    }
    let manifest = with_components_in(&contents.manifest, "components/");
    files.add("spin.toml", DATA, manifest);
    for (path, place) in TEXTS {
        files.add(place, DATA, of_repository(path)?);
    }
    for manual in &contents.manuals {
        let program = manual.program;
        let bash = format!("completions/{program}.bash");
        files.add(bash, DATA, manual.bash.as_slice());
        let zsh = format!("completions/_{program}");
        files.add(zsh, DATA, manual.zsh.as_slice());
        let fish = format!("completions/{program}.fish");
        files.add(fish, DATA, manual.fish.as_slice());
        for (name, page) in &manual.pages {
            files.add(format!("man/{name}"), DATA, page.as_slice());
        }
    }
    let name = format!("store-manager-{}-x86_64-linux", contents.version);
    let path = out.join(format!("{name}.tar.gz"));
    let archive = gzip(&files.tar(&format!("{name}/"), release.epoch)?)?;
    fs::write(&path, archive).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
