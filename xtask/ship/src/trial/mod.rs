//! Tests the packages, each in a place that has nothing of ours: a booted Debian root, or an empty root.
//!
//! `roots` makes the roots, `machine` boots a root and runs commands in it. `install`, `faults`, `tour`, `upgrade` and
//! `remove` test the Debian package, in this order. `tarball` and `image` start the other packages, the image as a
//! `container` of a `bundle`. `kubernetes` validates the manifests, which can't be started here.

mod bundle;
mod container;
mod faults;
mod image;
mod install;
mod kubernetes;
mod machine;
mod remove;
mod roots;
mod tarball;
mod tour;
mod upgrade;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xtask::paths;

use self::machine::Machine;
use self::roots::Suite;
use crate::contents::Contents;
use crate::deb;
use crate::package::Package;
use crate::release::Release;

/// The version from which the trial upgrades.
const EARLIER: &str = "0.0.9";

/// Tests what was `made`.
///
/// # Errors
/// The first thing that is not as it should be.
pub(crate) async fn run(
    release: &Release,
    contents: &Contents,
    made: &[PathBuf],
    only: &[Package],
) -> Result<()> {
    ensure!(
        is_root()?,
        "--test makes roots and boots them: run it as root"
    );
    if only.contains(&Package::Tarball) {
        tarball::try_it(&found(made, ".tar.gz")?)?;
    }
    if only.contains(&Package::Image) {
        let [host, proxy] = ["store-host", "store-proxy"];
        let image = |program: &str| found(made, &format!("{program}-{}.oci.tar", release.version));
        image::try_them(&image(host)?, &image(proxy)?).await?;
    }
    if only.contains(&Package::Deb) {
        let earlier = deb::build(&contents.as_version(EARLIER), release, &folder())?;
        let new = found(made, ".deb")?;
        for suite in Suite::ALL {
            try_on(suite, &earlier, &new)
                .with_context(|| format!("the Debian package on {suite}"))?;
        }
    }
    kubernetes::check().await
}

fn try_on(suite: Suite, earlier: &Path, new: &Path) -> Result<()> {
    let root = roots::fresh(suite)?;
    let packages = [(earlier, "earlier.deb"), (new, "new.deb")];
    for (package, name) in packages {
        let place = root.join("var/tmp").join(name);
        fs::copy(package, &place).with_context(|| format!("copying to {}", place.display()))?;
    }
    let machine = Machine::boot(&root, suite)?;
    install::try_it(&machine)?;
    faults::try_them(&machine)?;
    tour::walk(&machine)?;
    upgrade::try_it(&machine)?;
    faults::try_later_ones(&machine)?;
    remove::try_it(&machine)
}

/// Whether we are root, which the trials need.
fn is_root() -> Result<bool> {
    let us = fs::metadata("/proc/self").context("asking who we are")?;
    Ok(us.uid() == 0)
}

/// The folder of the trials' files.
fn folder() -> PathBuf {
    paths::target().join("ship")
}

fn found(made: &[PathBuf], ending: &str) -> Result<PathBuf> {
    let path = made.iter().find(|path| is_named(path, ending));
    path.cloned()
        .with_context(|| format!("no {ending} was made"))
}

fn is_named(path: &Path, ending: &str) -> bool {
    path.to_string_lossy().ends_with(ending)
}

/// Prints that a trial has passed.
fn passed(what: &str) {
    println!("✓ {what}");
}
