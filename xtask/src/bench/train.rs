//! `cargo xtask bench train`: the profiles that guide the shipped builds.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::routes::Route;
use super::sides::{Bench, HOST, Side, folder};
use super::{Cpus, Programs, install};
use crate::build::{HOST_PACKAGE, NATIVE_PACKAGE};
use crate::measure::Loaders;
use crate::{build, pgo, setup};

/// Renew the profiles that the shipped builds of host and twin are guided by, in loadtest/profiles
///
/// Builds both so that they count how often each piece of code is run, and puts them under the load of `bench`. Worth it after
/// a new Rust or wasmtime, and when what the busy routes do has changed.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Seconds of load on each route
    #[arg(long, value_name = "SECONDS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

const CONNECTIONS: u32 = 32;

/// A program writes its counts when it has drained.
const STOP_LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn run(options: Options) -> Result<ExitCode> {
    install().await?;
    let llvm_profdata = setup::llvm_profdata().await?;
    build::components().await?;
    let programs = Programs {
        host: pgo::build_counting(HOST_PACKAGE).await?,
        native: pgo::build_counting(NATIVE_PACKAGE).await?,
    };
    let cpus = Cpus::split()?;
    let loaders = Loaders::find_or_install(&cpus.load).await?;
    let bench = Bench::start(&programs, &cpus, &[]).await?;
    for side in &bench.sides {
        let package = if side.name == HOST {
            HOST_PACKAGE
        } else {
            NATIVE_PACKAGE
        };
        pgo::forget_counts()?;
        load(side, &loaders, options.seconds).await?;
        side.stop(STOP_LIMIT).await?;
        println!(
            "{}",
            pgo::keep_counts(package, &llvm_profdata).await?.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn load(side: &Side, loaders: &Loaders, seconds: u32) -> Result<()> {
    let folder = folder()?;
    for route in Route::ALL {
        eprintln!("▸ {}, {}", route.label(), side.name);
        let target = route.target(&side.url, &folder)?;
        loaders.flood(&target, CONNECTIONS, seconds).await?;
    }
    Ok(())
}
