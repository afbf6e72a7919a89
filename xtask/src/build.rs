//! `cargo xtask build`: the components, the host and the proxy.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo::{cargo, run_step};
use crate::setup::COMPILING;
use crate::{paths, pgo, setup};

/// Build the components (release, wasm32-wasip2), the host and the proxy
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Host and proxy as they are shipped: link-time optimisation, the host guided by a profile (minutes)
    #[arg(long)]
    dist: bool,
}

pub(crate) const HOST_PACKAGE: &str = "store-host";
pub(crate) const NATIVE_PACKAGE: &str = "store-native";

/// The crates in `components/` that become a `.wasm` file.
const COMPONENTS: [&str; 3] = ["orders", "stocks", "reports"];

/// The component that the host's tests swap in: `host/tests/guests`.
const TEST_GUEST: &str = "test-guest";

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    setup::wasm_target().await?;
    setup::tools(&[COMPILING]).await?;
    components().await?;
    let servers = if options.dist {
        [dist_host().await?, dist_proxy().await?]
    } else {
        servers().await?;
        [paths::host_binary(), paths::proxy_binary()]
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

/// Builds the components as Spin would.
pub(crate) async fn components() -> Result<()> {
    let mut command = cargo(["build", "--release", "--target", "wasm32-wasip2"]);
    command.args(only_components());
    run_step("build the components", command).await
}

/// Builds the host and the proxy as the tests do: in their profile, and with the features of dependencies that the whole
/// workspace asks for, so that wasmtime is built once for both.
pub(crate) async fn servers() -> Result<()> {
    let mut command = cargo(["build", "--workspace"]);
    command.args(["--bin", "store-host", "--bin", "store-proxy"]);
    run_step("build the host and the proxy", command).await
}

/// Builds the proxy as the tests do, and says where it is.
pub(crate) async fn proxy() -> Result<PathBuf> {
    let mut command = cargo(["build", "--workspace"]);
    command.args(["--bin", "store-proxy"]);
    run_step("build the proxy", command).await?;
    Ok(paths::proxy_binary())
}

/// Builds the component that the tests and the swap test load beside ours.
pub(crate) async fn test_guest() -> Result<()> {
    let mut command = cargo(["build", "--release", "--target", "wasm32-wasip2"]);
    command.args(["--package", TEST_GUEST]);
    run_step("build the test component", command).await
}

/// Builds the host as it is shipped, and says where it is.
pub(crate) async fn dist_host() -> Result<PathBuf> {
    pgo::build(HOST_PACKAGE).await
}

/// Builds the proxy as it is shipped, and says where it is.
pub(crate) async fn dist_proxy() -> Result<PathBuf> {
    let mut command = cargo(["build", "--profile", "dist"]);
    command.args(["--package", "store-proxy"]);
    run_step("build the proxy for release", command).await?;
    Ok(paths::dist_proxy_binary())
}

/// Builds the native twin as the host is built, and says where it is.
pub(crate) async fn dist_native() -> Result<PathBuf> {
    // By itself: built together, the host would get the features that only the twin asks for.
    pgo::build(NATIVE_PACKAGE).await
}

/// The flags that limit a cargo command to the components.
pub(crate) fn only_components() -> impl Iterator<Item = &'static str> {
    COMPONENTS.into_iter().flat_map(|name| ["--package", name])
}
