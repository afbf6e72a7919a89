//! `cargo xtask bench train`: renews the profiles that optimise the shipped builds.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::routes::Route;
use super::sides::{Bench, HOST, NATIVE, Side, traced_options};
use super::{Cpus, Programs, install};
use crate::measure::{Loaders, TraceReceiver, TraceShare};
use xtask::build::{HOST_PACKAGE, NATIVE_PACKAGE};
use xtask::{build, paths, pgo, setup};

/// Renew the profiles that optimise the shipped builds of host and twin, in loadtest/profiles
///
/// Builds both with counters of how often each piece of code runs, and puts them under the load of `bench`, the host
/// without traces and with 1 % of them. Needed after a new Rust and after any change of the dependencies or their
/// features, and worth it when the code of the busy routes has changed.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Renew only the profile of this program [default: both]
    #[arg(long, value_name = "SIDE", value_parser = [HOST, NATIVE])]
    only: Option<String>,
    /// Seconds of load on each route
    #[arg(long, value_name = "SECONDS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=20))]
    seconds: u32,
}

const CONNECTIONS: u32 = 32;

/// A program writes its counts after it has drained.
const STOP_LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn run(options: Options) -> Result<ExitCode> {
    install().await?;
    let llvm_profdata = setup::llvm_profdata().await?;
    build::components().await?;
    // Each program once: the other sides are the same programs with other settings.
    let trains = |side: &str| match &options.only {
        Some(only) => only == side,
        None => [HOST, NATIVE].contains(&side),
    };
    let programs = Programs {
        host: program(HOST_PACKAGE, trains(HOST)).await?,
        native: program(NATIVE_PACKAGE, trains(NATIVE)).await?,
    };
    let cpus = Cpus::split()?;
    let loaders = Loaders::on(&cpus.load);
    let bench = Bench::start(&programs, &cpus, &[]).await?;
    for side in bench.sides.iter().filter(|side| trains(&side.name)) {
        let package = if side.name == HOST {
            HOST_PACKAGE
        } else {
            NATIVE_PACKAGE
        };
        pgo::forget_counts()?;
        load(side, &loaders, options.seconds).await?;
        side.stop(STOP_LIMIT).await?;
        if side.name == HOST {
            // Otherwise the compiler would take what records traces for code that hardly ever runs.
            let receiver = TraceReceiver::start().await?;
            let share = TraceShare::OnePercent;
            let traced = traced_options(&programs.host, &cpus, share, &receiver);
            let side = Side::of(HOST, bench.store.host(traced).await?);
            load(&side, &loaders, options.seconds).await?;
            side.stop(STOP_LIMIT).await?;
        }
        println!(
            "{}",
            pgo::keep_counts(package, &llvm_profdata).await?.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The program to start: with counters if it `is_trained`, otherwise as tests have it, because nobody asks it anything.
async fn program(package: &str, is_trained: bool) -> Result<PathBuf> {
    if is_trained {
        return pgo::build_counting(package).await;
    }
    build::programs(&[package]).await?;
    Ok(paths::program(package))
}

async fn load(side: &Side, loaders: &Loaders, seconds: u32) -> Result<()> {
    for route in Route::ALL {
        eprintln!("▸ {}, {}", route.label(), side.name);
        let target = route.target(&side.url);
        loaders.flood(&target, CONNECTIONS, seconds).await?;
    }
    Ok(())
}
