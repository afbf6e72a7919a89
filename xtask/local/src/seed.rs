//! `cargo xtask seed`: fills an empty store with data.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use testbed::seed::{self, Dataset, LAB};
use testbed::{Addresses, Progress};

use crate::store_urls::StoreArgs;

/// The default seed of the random `lab` data, so that everybody has the same data.
const DEFAULT_RNG_SEED: u64 = 42;

/// Fill an empty store with data
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The data to load
    #[arg(value_enum, default_value_t = Data::Lab)]
    data: Data,
    #[command(flatten)]
    random: RandomArgs,
    /// Remove the store's data first, all of it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// The data sets to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Data {
    /// Nothing
    None,
    /// 3 users, 4 products, 3 orders
    Sample,
    /// 1,000 users, 10,000 products with random stock, 80,000 orders of 1 to 5 items
    Lab,
}

/// The parameters of random data.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct RandomArgs {
    /// The same number gives the same `lab` data
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RNG_SEED)]
    rng_seed: u64,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let addresses = options.store.addresses()?;
    if options.force {
        warn_of_another_prefix(&addresses)
            .await
            .context(options.store.subject())?;
        let step = Progress::detect().step("empty the store", 0);
        seed::empty(&addresses)
            .await
            .context(options.store.subject())?;
        step.finish();
    }
    let loaded = load(&addresses, options.data, options.random).await;
    loaded.context(options.store.subject())?;
    Ok(ExitCode::SUCCESS)
}

/// Says so if the keys in Redis seem to begin with another prefix. It may be right: stores with a prefix each may share a
/// server.
async fn warn_of_another_prefix(addresses: &Addresses) -> Result<()> {
    if let Some(other) = seed::state_elsewhere(addresses).await? {
        eprintln!(
            "warning: Redis has `{other}`, and no such key with the prefix given. If it is this store's, its hosts go on \
             showing orders and stock of before; give its prefix as --redis-key-prefix"
        );
    }
    Ok(())
}

/// Loads `data` into an empty store.
pub(crate) async fn load(addresses: &Addresses, data: Data, random: RandomArgs) -> Result<()> {
    let dataset = match data {
        Data::None => return Ok(()),
        Data::Sample => Dataset::sample(),
        Data::Lab => Dataset::random(LAB, random.rng_seed),
    };
    seed::load(addresses, &dataset, Progress::detect()).await
}
