//! Tests the packages, each in a place that has nothing of ours: a booted Debian root, or an empty root.
//!
//! `roots` makes the roots, `machine` boots a root and runs commands in it. `install`, `faults`, `tour`, `readers` and
//! `remove` test the Debian package in this order, then `upgrade` installs it over an `earlier` one and goes back.
//! `unbooted` installs it where no systemd runs. `tarball` and `image` start the other packages, the tarball by the
//! commands that a `document` has, the image as a `container` of a `bundle`. `kubernetes` validates the manifests,
//! which can't be started here.

mod bundle;
mod container;
mod document;
mod earlier;
mod faults;
mod image;
mod install;
mod kubernetes;
mod machine;
mod readers;
mod remove;
mod roots;
mod tarball;
mod tour;
mod unbooted;
mod upgrade;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xtask::paths;
use xtask::setup::{self, TRIAL};

use self::earlier::EarlierPackage;
use self::machine::Machine;
use self::roots::Suite;
use crate::contents::Contents;
use crate::package::Package;
use crate::release::Release;

/// The password of the store's user of the database.
const PASSWORD: &str = "a-secret";

/// The packages that are tried on each Debian.
struct TrialPackages {
    version: String,
    new: PathBuf,
    earlier: EarlierPackage,
    broken: PathBuf,
    tarball: Option<PathBuf>,
}

/// Makes sure that the trials can be run, and installs what they need. Called before the packages are built, which takes
/// long.
///
/// # Errors
/// If we are not root, or something can't be installed.
pub(crate) async fn prepare() -> Result<()> {
    ensure!(
        is_root()?,
        "--test makes roots and boots them: run it as root"
    );
    setup::tools(&[TRIAL]).await
}

/// Tests what was `made`. `earlier` is the Debian package to upgrade from; without it, one is made up.
///
/// # Errors
/// The first thing that is not as it should be.
pub(crate) async fn run(
    release: &Release,
    contents: &Contents,
    made: &[PathBuf],
    only: &[Package],
    earlier: Option<&[u8]>,
) -> Result<()> {
    let tarball = match only.contains(&Package::Tarball) {
        true => Some(found(made, ".tar.gz")?),
        false => None,
    };
    if let Some(tarball) = &tarball {
        tarball::try_it(tarball)?;
    }
    if only.contains(&Package::Image) {
        let [host, proxy] = ["store-host", "store-proxy"];
        let image = |program: &str| found(made, &format!("{program}-{}.oci.tar", release.version));
        image::try_them(&image(host)?, &image(proxy)?).await?;
    }
    if only.contains(&Package::Deb) {
        let packages = TrialPackages {
            version: release.version.clone(),
            new: found(made, ".deb")?,
            earlier: EarlierPackage::new(earlier, contents, release)?,
            broken: earlier::broken(contents, release)?,
            tarball,
        };
        for suite in Suite::ALL {
            unbooted::try_it(suite, &packages.new)
                .with_context(|| format!("the Debian package on {suite}, not booted"))?;
            try_on(suite, &packages).with_context(|| format!("the packages on {suite}"))?;
        }
    }
    kubernetes::check().await
}

fn try_on(suite: Suite, packages: &TrialPackages) -> Result<()> {
    let root = roots::fresh(suite)?;
    let put = |package: &Path, name: &str| {
        let place = root.join("var/tmp").join(name);
        fs::copy(package, &place).with_context(|| format!("copying to {}", place.display()))
    };
    put(&packages.new, "new.deb")?;
    put(&packages.earlier.path, "earlier.deb")?;
    put(&packages.broken, "broken.deb")?;
    let machine = Machine::boot(&root, suite)?;
    machine.sh(&format!(
        "mariadb -e \"CREATE USER store@127.0.0.1 IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON store.* TO store@127.0.0.1\""
    ))?;
    if let Some(tarball) = &packages.tarball {
        let name = tarball.file_name().unwrap_or_default().to_string_lossy();
        put(tarball, &name)?;
        tarball::serve(&machine, &name).context("step `tarball`")?;
    }
    install::try_it(&machine).context("step `install`")?;
    faults::try_them(&machine).context("step `faults`, of a start")?;
    tour::walk(&machine).context("step `tour`")?;
    readers::try_them(&machine).context("step `readers`")?;
    faults::try_later_ones(&machine).context("step `faults`, of a store that serves")?;
    remove::try_it(&machine).context("step `remove`")?;
    upgrade::prepare(&machine, &packages.earlier).context("step `upgrade`, before it")?;
    upgrade::try_it(&machine, &packages.earlier, &packages.version).context("step `upgrade`")?;
    upgrade::fail(&machine, &packages.version).context("step `upgrade`, one that fails")?;
    upgrade::go_back(&machine, &packages.earlier).context("step `upgrade`, the way back")
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
