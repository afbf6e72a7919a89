//! Profile-guided optimisation: builds that count how often each piece of code runs, and builds that are optimised by
//! these counts (<https://doc.rust-lang.org/rustc/profile-guided-optimization.html>).
//! docs/adr/0009-profile-guided-builds.md says why the counts are kept in the repository.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::cargo::{cargo_dist, cargo_step, run_step};
use crate::paths;
use crate::programs::output_of;

/// Builds `package` as it is shipped, and returns the path of its program.
pub async fn build(package: &str) -> Result<PathBuf> {
    let rustc = Rustc::ask().await?;
    let flags = flags(package, &rustc);
    let title = format!("build {package} for release");
    let folder = paths::target().join("shipped").join(package);
    dist(&title, package, &rustc, &folder, &flags).await
}

/// The compiler flags that optimise `package` by its profile; none if there is no profile.
pub fn flags(package: &str, rustc: &Rustc) -> Vec<String> {
    let kept = kept_profile(package, rustc);
    // Cargo rebuilds when the profile changes, because the compiler lists it among the files that it has read.
    if kept.exists() {
        vec![
            format!("-Cprofile-use={}", kept.display()),
            // Otherwise a warning for each function that has changed since would hide the compiler's other messages.
            "-Cllvm-args=-no-pgo-warn-mismatch".to_owned(),
        ]
    } else {
        eprintln!(
            "– {package} is built without a profile: `cargo xtask bench train` makes one for rustc {}",
            rustc.release
        );
        Vec::new()
    }
}

/// Builds `package` with counters, and returns the path of its program. The program writes the counts when it ends
/// normally.
pub async fn build_counting(package: &str) -> Result<PathBuf> {
    let rustc = Rustc::ask().await?;
    let flags = [format!("-Cprofile-generate={}", counts().display())];
    let title = format!("build {package}, counting");
    // A separate folder, so that this program is not taken for the shipped one.
    dist(&title, package, &rustc, &folder().join(package), &flags).await
}

/// Deletes the counts of earlier runs.
pub fn forget_counts() -> Result<()> {
    match fs::remove_dir_all(counts()) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context("emptying target/pgo/raw")
        }
        _ => Ok(()),
    }
}

/// Stores the counts as the profile of `package`, in place of earlier profiles, and returns its path.
pub async fn keep_counts(package: &str, llvm_profdata: &Path) -> Result<PathBuf> {
    let kept = kept_profile(package, &Rustc::ask().await?);
    let mut merge = Command::new(llvm_profdata);
    // A sparse profile leaves out functions that never ran, which makes it ten times smaller.
    merge.args(["merge", "--sparse", "--output"]);
    merge.arg(&kept).arg(counts()).kill_on_drop(true);
    run_step(&format!("keep the profile of {package}"), merge).await?;
    for old in profiles_of(package)?.into_iter().filter(|old| *old != kept) {
        fs::remove_file(&old).with_context(|| format!("removing {}", old.display()))?;
    }
    Ok(kept)
}

/// Builds in `folder`, which must be for `package` alone: cargo keeps one build of a crate for each profile and target,
/// so programs with other flags in the same folder would make each other's crates be compiled again.
async fn dist(
    title: &str,
    package: &str,
    rustc: &Rustc,
    folder: &Path,
    flags: &[String],
) -> Result<PathBuf> {
    let mut command = cargo_dist(["build", "--profile", "dist", "--package", package]).await;
    // With a target named, the flags apply to programs for that target only, not to build scripts and macros.
    command.args(["--target", &rustc.host]).arg("--target-dir");
    command.arg(folder).args(["--features", "jemalloc"]);
    let of_the_user = env::var("RUSTFLAGS").unwrap_or_default();
    let all: Vec<&str> = of_the_user
        .split_whitespace()
        .chain(flags.iter().map(String::as_str))
        .collect();
    if !all.is_empty() {
        command.env("CARGO_ENCODED_RUSTFLAGS", all.join("\u{1f}"));
    }
    cargo_step(title, command).await?;
    Ok(folder.join(&rustc.host).join("dist").join(package))
}

/// A profile is valid for one compiler version, because other versions name functions differently.
fn kept_profile(package: &str, rustc: &Rustc) -> PathBuf {
    profiles().join(format!("{package}-rustc-{}.profdata", rustc.release))
}

fn profiles_of(package: &str) -> Result<Vec<PathBuf>> {
    let prefix = format!("{package}-rustc-");
    let mut found = Vec::new();
    for entry in fs::read_dir(profiles()).context("reading loadtest/profiles")? {
        let path = entry.context("reading loadtest/profiles")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&prefix) {
            found.push(path);
        }
    }
    Ok(found)
}

fn profiles() -> PathBuf {
    paths::root().join("loadtest/profiles")
}

fn folder() -> PathBuf {
    paths::target().join("pgo")
}

fn counts() -> PathBuf {
    folder().join("raw")
}

/// The version information of the compiler.
pub struct Rustc {
    /// The compiler's version.
    pub release: String,
    /// The target that the compiler itself runs on.
    pub host: String,
}

impl Rustc {
    /// Asks the compiler that builds this repository.
    ///
    /// # Errors
    /// If there is no compiler, or its answer can't be parsed.
    pub async fn ask() -> Result<Self> {
        Self::read(&output_of("rustc", &["-vV"]).await)
    }

    fn read(said: &str) -> Result<Self> {
        let after = |prefix| said.lines().find_map(|line| line.strip_prefix(prefix));
        let (Some(release), Some(host)) = (after("release: "), after("host: ")) else {
            bail!("`rustc -vV` doesn't say its release and host: {said}");
        };
        Ok(Self {
            release: release.to_owned(),
            host: host.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Rustc;

    #[test]
    fn rustc_says_its_release_and_host() {
        let said = "rustc 1.95.0 (x 2026)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n";
        let rustc = Rustc::read(said).expect("both are there");
        assert_eq!(
            (rustc.release.as_str(), rustc.host.as_str()),
            ("1.95.0", "x86_64-unknown-linux-gnu")
        );
        assert!(Rustc::read("rustc 1.95.0").is_err());
    }
}
