//! The shipped programs and components: each is one file that needs no library of the system and contains no trace of
//! the machine that built it.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tokio::process::Command;
use xtask::build::{HOST_PACKAGE, PROXY_PACKAGE};
use xtask::cargo::{cargo, cargo_dist, cargo_step};
use xtask::setup::COMPILING;
use xtask::{paths, pgo, setup};

use crate::release::{Profile, Release};

/// The components of the app.
pub(crate) const COMPONENTS: [&str; 3] = ["orders", "stocks", "reports"];

/// The paths of the built files.
pub(crate) struct Programs {
    pub(crate) host: PathBuf,
    pub(crate) proxy: PathBuf,
    /// In the order of [`COMPONENTS`].
    pub(crate) components: [PathBuf; 3],
}

/// The features that the host is built with, beyond its default ones.
pub(crate) fn host_features(profile: Profile) -> &'static [&'static str] {
    match profile {
        Profile::Dist => &["jemalloc"],
        Profile::Dev => &[],
    }
}

/// The target of the components.
pub(crate) const WASM: &str = "wasm32-wasip2";

/// Builds the programs and the components.
///
/// # Errors
/// If something does not build.
pub(crate) async fn build(release: &Release) -> Result<Programs> {
    setup::wasm_target().await?;
    setup::tools(&[COMPILING]).await?;
    components().await?;
    let [host, proxy] = servers(release).await?;
    let components = folder().join(WASM).join("release");
    Ok(Programs {
        host,
        proxy,
        components: COMPONENTS.map(|name| components.join(format!("{name}.wasm"))),
    })
}

async fn servers(release: &Release) -> Result<[PathBuf; 2]> {
    match release.profile {
        Profile::Dev => {
            // Both in one command, so that what they share is built once.
            let mut command = cargo_dist(["build", "--profile", "dev"]).await;
            command.args(["--package", HOST_PACKAGE, "--package", PROXY_PACKAGE]);
            let folder = folder().join("servers");
            finish(command, "build host and proxy", release, &folder, &[]).await?;
            let programs = folder.join(&release.rustc.host).join("debug");
            Ok([HOST_PACKAGE, PROXY_PACKAGE].map(|package| programs.join(package)))
        }
        Profile::Dist => {
            let guided = pgo::flags(HOST_PACKAGE, &release.rustc);
            let features = host_features(release.profile);
            Ok([
                shipped(HOST_PACKAGE, features, release, &guided).await?,
                shipped(PROXY_PACKAGE, &[], release, &[]).await?,
            ])
        }
    }
}

/// Builds `package` in a folder of its own: cargo keeps one build of a crate for each profile and target, so host and
/// proxy, which are compiled with other flags, would make each other's crates be compiled again.
async fn shipped(
    package: &str,
    features: &[&str],
    release: &Release,
    flags: &[String],
) -> Result<PathBuf> {
    let mut command = cargo_dist(["build", "--profile", "dist", "--package", package]).await;
    command.args(["--features", &features.join(",")]);
    let folder = folder().join(package);
    let title = format!("build {package} for release");
    finish(command, &title, release, &folder, flags).await?;
    Ok(folder.join(&release.rustc.host).join("dist").join(package))
}

async fn finish(
    mut command: Command,
    title: &str,
    release: &Release,
    folder: &Path,
    flags: &[String],
) -> Result<()> {
    let static_libc = "-Ctarget-feature=+crt-static".to_owned();
    let mut all = vec![static_libc];
    all.extend(without_paths("--remap-path-prefix="));
    all.extend_from_slice(flags);
    // With a target named, the flags apply to programs for that target only, not to build scripts and macros.
    command
        .args(["--target", &release.rustc.host])
        .env("CARGO_TARGET_DIR", folder)
        // Incremental builds depend on earlier builds, so their result differs.
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_ENCODED_RUSTFLAGS", all.join("\u{1f}"))
        .env("CFLAGS", without_paths("-ffile-prefix-map=").join(" "))
        // The time that C code takes for the present: the proxy's allocator contains the time of its compilation. With
        // the commit's time, each commit would have build scripts compile all C code, and what depends on it, again.
        .env("SOURCE_DATE_EPOCH", "0");
    cargo_step(title, command).await
}

async fn components() -> Result<()> {
    let mut command = cargo(["build", "--release", "--target", WASM]);
    command
        .args(xtask::build::only_components())
        .env("CARGO_TARGET_DIR", folder())
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            without_paths("--remap-path-prefix=").join("\u{1f}"),
        );
    cargo_step("build the components for release", command).await
}

/// A separate folder, because everyday builds have other flags and must stay valid.
fn folder() -> PathBuf {
    paths::target().join("ship/build")
}

/// Flags that make a compiler write the same file names on every machine.
fn without_paths(flag: &str) -> Vec<String> {
    let cargo = env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    let pairs = [
        (cargo.as_path(), "/cargo"),
        (paths::root(), "/store-manager"),
    ];
    pairs
        .map(|(here, everywhere)| format!("{flag}{}={everywhere}", here.display()))
        .into()
}
