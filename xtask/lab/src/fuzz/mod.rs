//! `cargo xtask fuzz`: looks for inputs that our parsers and limits handle wrongly.

mod build;
mod run;
mod targets;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;

use self::run::Outcome;
use self::targets::{TARGETS, Target};
use xtask::setup::{self, COMPILING, FUZZING, PROCESSES};

/// Look for inputs that make a fuzz target fail, one target after the other
///
/// Findings are written to `target/fuzz/found`, and the command then exits with 1. Inputs that reach new code stay in
/// `target/fuzz/inputs`, where the next run begins. `cargo xtask test` replays only `fuzz/seeds`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each target is tried
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    time: Duration,
    /// Only this target; may be given more than once
    #[arg(long = "target", value_name = "NAME", value_parser = PossibleValuesParser::new(TARGETS.map(|target| target.name)))]
    names: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    setup::tools(&[COMPILING, FUZZING, PROCESSES]).await?;
    let programs = build::tests().await?;
    let wanted = |target: &&Target| {
        options.names.is_empty() || options.names.iter().any(|name| name == target.name)
    };
    let mut found = 0;
    for target in TARGETS.iter().filter(wanted) {
        let program = programs
            .get(target.krate)
            .with_context(|| format!("cargo built no tests of {}", target.krate))?;
        if let Outcome::Found(report) = run::target(target, program, options.time).await? {
            found += 1;
            println!("✗ {}: {report}", target.name);
        }
    }
    if found == 0 {
        println!("Nothing was found.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("Mend the code, and move the input to fuzz/seeds/NAME, where the tests replay it.");
    Ok(ExitCode::FAILURE)
}

fn duration(text: &str) -> Result<Duration> {
    let duration = humantime::parse_duration(text).context("expected a time like 30s or 5m")?;
    anyhow::ensure!(duration >= Duration::from_secs(1), "at least 1s");
    Ok(duration)
}
