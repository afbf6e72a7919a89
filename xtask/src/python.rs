//! Private Python environments under `target/python`, made from files that pin every package.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::cargo::run_step;
use crate::{paths, progress, setup};

/// The oldest Python that Locust runs on.
const OLDEST: (u32, u32) = (3, 11);

/// An environment that is complete.
#[derive(Debug)]
pub struct Python {
    folder: PathBuf,
}

impl Python {
    /// The environment `name` with exactly the packages that `requirements` (a path in the repository) pins. Makes the
    /// environment if it does not exist, and anew if that file or the machine's Python has changed.
    ///
    /// # Errors
    /// When there is no suitable Python, or a package can't be downloaded.
    pub async fn ready(name: &str, requirements: &str) -> Result<Self> {
        setup::python().await?;
        let file = paths::root().join(requirements);
        let pinned =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let python = Self {
            folder: paths::target().join("python").join(name),
        };
        let made_from = format!("# {}\n{pinned}", version(Path::new("python3")).await?);
        let _lock = python.lock().await?;
        if !python.is_made_from(&made_from).await {
            python.make(&file, requirements).await?;
            // Written last: an environment without this marker counts as incomplete.
            let marker = python.marker();
            fs::write(&marker, made_from)
                .with_context(|| format!("writing {}", marker.display()))?;
        }
        Ok(python)
    }

    /// The environment of the load tests.
    ///
    /// # Errors
    /// As [`Python::ready`].
    pub async fn locust() -> Result<Self> {
        Self::ready("locust", "loadtest/requirements.txt").await
    }

    /// The Python interpreter; `-m locust` and the like start the programs of packages.
    pub fn program(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// The path of a program that a package installed.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    fn marker(&self) -> PathBuf {
        self.folder.join("made-from.txt")
    }

    async fn is_made_from(&self, made_from: &str) -> bool {
        // The interpreter may be gone although the marker exists, because it is a link to the machine's Python.
        fs::read_to_string(self.marker()).is_ok_and(|found| found == made_from)
            && version(&self.program()).await.is_ok()
    }

    async fn make(&self, file: &Path, shown: &str) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)
                .with_context(|| format!("removing {}", self.folder.display()))?;
        }
        let mut venv = owned("python3");
        venv.args(["-m", "venv"]).arg(&self.folder);
        run_step("make a Python environment", venv).await?;
        let mut install = self.pip();
        // With `--no-deps`, a dependency that is not pinned is not installed silently; the check then reports it as
        // missing.
        install.args(["install", "--quiet", "--no-deps", "--requirement"]);
        install.arg(file);
        run_step(&format!("install the packages of {shown}"), install).await?;
        let mut check = self.pip();
        check.arg("check");
        run_step(&format!("check the packages of {shown}"), check).await
    }

    fn pip(&self) -> Command {
        let mut pip = owned(self.program());
        pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
        pip
    }

    /// Keeps other processes from making the same environment at the same time.
    async fn lock(&self) -> Result<File> {
        let path = self.folder.with_extension("lock");
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
        let title = "wait for another command that installs the same packages";
        progress::wait(title, || None, locked)
            .await
            .context("waiting for a lock")?
            .with_context(|| format!("locking {}", path.display()))
    }
}

/// The version, such as `Python 3.11.2`, if it is new enough.
async fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").output().await;
    let output = output.with_context(|| format!("running {}", program.display()))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (oldest_major, oldest_minor) = OLDEST;
    let Some(found) = numbers(&version) else {
        bail!("`{} --version` says `{version}`", program.display());
    };
    ensure!(
        found >= OLDEST,
        "the load tests need Python {oldest_major}.{oldest_minor} or newer, and `{}` is {version}: install a newer one as python3",
        program.display()
    );
    Ok(version)
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix("Python ")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A command that dies with us.
fn owned(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(paths::root()).kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(numbers("Python 3.11.2"), Some((3, 11)));
        assert!(numbers("Python 3.9.18") < numbers("Python 3.11.2"));
        assert_eq!(numbers("pypy"), None);
    }
}
