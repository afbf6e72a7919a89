//! `cargo xtask bench startup`: the time from starting the program to its first answer.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use testbed::seed::Dataset;
use testbed::{DataStore, free_port, start_program};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::sides::start_store;
use super::{CommonOptions, Cpus};
use crate::measure::{TextTable, commit, processor, spread, write_json};
use xtask::paths;

/// The wait between two attempts to get an answer.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// The goals, in milliseconds.
const WARM_MS: f64 = 150.0;
const COLD_MS: f64 = 3000.0;

/// Time from starting store-host to its first 200, with components compiled before, and without
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: CommonOptions,
}

pub(super) async fn run(options: Options) -> Result<ExitCode> {
    let programs = options.common.programs().await?;
    let cpus = Cpus::split()?;
    let store = start_store(&programs.host, &cpus, &Dataset::sample()).await?;
    let cache = store.folder().join("compile-cache");
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..options.common.rounds {
        if cache.exists() {
            fs::remove_dir_all(&cache).context("emptying the compile cache")?;
        }
        cold.push(first_answer_ms(&programs.host, &store, &cache).await?);
        warm.push(first_answer_ms(&programs.host, &store, &cache).await?);
    }
    println!("{}, commit {}\n", processor(), commit().await);
    let mut table = TextTable::new(["start", "median ms", "lowest–highest", "goal"]);
    for (name, samples, goal) in [("warm", &warm, WARM_MS), ("cold", &cold, COLD_MS)] {
        let times = spread(samples.iter().copied()).context("no rounds")?;
        table.row([
            name.to_owned(),
            format!("{:.0}", times.median),
            format!("{:.0}–{:.0}", times.lowest, times.highest),
            format!("≤ {goal:.0}"),
        ]);
    }
    print!("{}", table.markdown());
    let all = json!({ "commit": commit().await, "processor": processor(), "cold_ms": cold, "warm_ms": warm });
    write_json(&options.common.output("bench-startup"), &all)?;
    Ok(ExitCode::SUCCESS)
}

async fn first_answer_ms(binary: &Path, store: &DataStore, cache: &Path) -> Result<f64> {
    // A fixed port: asking the host for its port would add to the measured time.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let binary = std::path::absolute(binary).context("finding store-host")?;
    let variables = store.addresses().variables();
    let variables = variables
        .into_iter()
        .map(|(name, value)| format!("SPIN_VARIABLE_{}={value}", name.to_uppercase()));
    let flags = [
        binary.display().to_string(),
        format!("--app={}", paths::app().display()),
        format!("--listen={address}"),
        "--admin-listen=127.0.0.1:0".to_owned(),
        format!("--compile-cache={}", cache.display()),
        format!("--state-folder={}", store.folder().join("state").display()),
    ];
    let args: Vec<String> = variables.chain(flags).collect();
    let log = store.folder().join("startup.log");
    let started = Instant::now();
    let process = start_program("store-host", "env", &args, &log)?;
    while !answers(address).await.unwrap_or(false) {
        ensure!(
            process.exit_status()?.is_none() && started.elapsed() < LIMIT,
            "store-host does not answer; its log ends with:{}",
            process.log_tail()
        );
        sleep(PAUSE).await;
    }
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}

/// Whether the host answers with 200.
pub(super) async fn answers(address: SocketAddr) -> std::io::Result<bool> {
    const REQUEST: &[u8] =
        b"GET /health-check HTTP/1.1\r\nHost: store\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
