//! `cargo xtask load`: Locust against the store.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::locust::{Profile, REQUIREMENTS, Run};
use crate::python::Python;

/// Put load on the store with Locust
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    #[arg(long, value_enum, default_value_t = Profile::Course)]
    profile: Profile,
    #[arg(long, default_value_t = 150)]
    users: u32,
    #[arg(long, default_value_t = 2.0)]
    spawn_rate: f64,
    #[arg(long, default_value_t = 120)]
    time: u64,
    #[arg(long, default_value_t = 42)]
    seed: u64,
    #[arg(long)]
    folder: PathBuf,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let python = Python::ready("locust", REQUIREMENTS).await?;
    let run = Run {
        url: &options.url,
        profile: options.profile,
        users: options.users,
        spawn_rate: options.spawn_rate,
        time: Duration::from_secs(options.time),
        seed: options.seed,
        folder: &options.folder,
    };
    let outcome = run
        .launch(&python)?
        .outcome(|live| eprintln!("{live:?}"))
        .await?;
    println!("{outcome:#?}");
    Ok(ExitCode::SUCCESS)
}
