//! `cargo xtask build`: the components, the host and the proxy.
#![expect(
    clippy::print_stdout,
    reason = "what was built is what the command is asked for"
)]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo::{cargo, cargo_beside, cargo_dist, cargo_step, start_beside};
use crate::setup::COMPILING;
use crate::{paths, pgo, setup};

/// Build the components (release, wasm32-wasip2), the host and the proxy
#[derive(Debug, Args)]
pub struct Options {
    /// Build host and proxy as they are shipped: with link-time optimisation, the host optimised by a profile (takes
    /// minutes)
    #[arg(long)]
    dist: bool,
}

/// The package of the host, and the name of its program.
pub const HOST_PACKAGE: &str = "store-host";
/// The package of the proxy, and the name of its program.
pub const PROXY_PACKAGE: &str = "store-proxy";
/// The package of the components' native twin.
pub const NATIVE_PACKAGE: &str = "store-native";

/// The crates in `components/` that become a `.wasm` file.
const COMPONENTS: [&str; 3] = ["orders", "stocks", "reports"];

/// The component that the host's tests swap in: `host/tests/guests`.
const TEST_GUEST: &str = "test-guest";

/// The component that does nothing: `loadtest/empty`.
const EMPTY: &str = "empty";

/// Runs the command.
///
/// # Errors
/// If something does not build.
pub async fn run(options: Options) -> Result<ExitCode> {
    setup::wasm_target().await?;
    setup::tools(&[COMPILING]).await?;
    components().await?;
    let servers = if options.dist {
        [dist_host().await?, dist_proxy().await?]
    } else {
        programs(&[HOST_PACKAGE, PROXY_PACKAGE]).await?;
        [paths::program(HOST_PACKAGE), paths::program(PROXY_PACKAGE)]
    };
    for name in COMPONENTS {
        let path = paths::component(name);
        let bytes = fs::metadata(&path)
            .with_context(|| format!("looking at {}", path.display()))?
            .len();
        println!("{:>7} KiB  {}", bytes.div_ceil(1024), path.display());
    }
    for path in servers {
        println!("             {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The command that builds the components, which is also Spin's.
const BUILD_COMPONENTS: [&str; 4] = ["build", "--release", "--target", "wasm32-wasip2"];

/// Builds the components.
///
/// # Errors
/// If a component does not build.
pub async fn components() -> Result<()> {
    let mut command = cargo(BUILD_COMPONENTS);
    command.args(only_components());
    cargo_step("build the components", command).await
}

/// As [`components`], beside another build: on two processors, both take some 25 s less than one after the other. The
/// returned future shows the rest as a step, whose title begins with `front`.
pub fn components_beside(front: &str) -> impl Future<Output = Result<()>> + use<> {
    let mut command = cargo_beside(BUILD_COMPONENTS);
    command.arg("--quiet").args(only_components());
    start_beside(format!("{front}build the components"), command)
}

/// Builds the given `programs` as the tests build them: in the tests' profile, and with the dependency features that
/// the whole workspace needs, so that wasmtime is built once for all.
///
/// # Errors
/// If a program does not build.
pub async fn programs(programs: &[&str]) -> Result<()> {
    programs_after("", programs).await
}

/// As [`programs`], with `front` before the title, which says which step of several this is.
///
/// # Errors
/// If a program does not build.
pub async fn programs_after(front: &str, programs: &[&str]) -> Result<()> {
    let mut command = cargo(["build", "--workspace"]);
    for program in programs {
        command.args(["--bin", program]);
    }
    let title = format!("{front}build {}", programs.join(", "));
    cargo_step(&title, command).await
}

/// Builds the component that the tests and the swap test load in addition to the store's.
pub async fn test_guest() -> Result<()> {
    let mut command = cargo(BUILD_COMPONENTS);
    command.args(["--package", TEST_GUEST]);
    cargo_step("build the test component", command).await
}

/// Builds the empty component, by which `bench` compares hosts that offer nothing but WASI.
pub async fn empty_component() -> Result<()> {
    let mut command = cargo(BUILD_COMPONENTS);
    command.args(["--package", EMPTY]);
    cargo_step("build the empty component", command).await
}

/// Builds the host as it is shipped, and returns its path.
pub async fn dist_host() -> Result<PathBuf> {
    pgo::build(HOST_PACKAGE).await
}

/// Builds the proxy as it is shipped, and returns its path.
pub async fn dist_proxy() -> Result<PathBuf> {
    let mut command = cargo_dist(["build", "--profile", "dist"]).await;
    command.args(["--package", PROXY_PACKAGE]);
    cargo_step("build the proxy for release", command).await?;
    Ok(paths::dist_proxy_binary())
}

/// Builds the native twin in the same way as the host, and returns its path.
pub async fn dist_native() -> Result<PathBuf> {
    // A command of its own: in one command with the host, the host would get the features that only the twin needs.
    pgo::build(NATIVE_PACKAGE).await
}

/// The flags that limit a cargo command to the components.
pub fn only_components() -> impl Iterator<Item = &'static str> {
    COMPONENTS.into_iter().flat_map(|name| ["--package", name])
}
