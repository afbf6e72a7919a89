//! `cargo xtask fuzz`: looks for inputs that our parsers and limits handle wrongly.

mod build;
mod run;
mod targets;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};

use self::run::TargetRun;
use self::targets::{TARGETS, Target};
use crate::measure::TextTable;
use xtask::setup::{self, COMPILING, FUZZING, PROCESSES};

/// Look for inputs that make a fuzz target fail, one target after the other
///
/// Findings are written to `target/fuzz/found`, and the command then exits with 1. Inputs that reach new code in any of
/// our crates stay in `target/fuzz/inputs`, where the next run begins. The run ends with a table of what was tried, for
/// docs/FUZZING.md. `cargo xtask test` replays only `fuzz/seeds`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each target is tried
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    time: Duration,
    /// Only this target; may be given more than once
    #[arg(long = "target", value_name = "NAME", value_parser = names())]
    names: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    setup::tools(&[COMPILING, FUZZING, PROCESSES]).await?;
    let programs = build::tests().await?;
    let wanted = |target: &&Target| {
        options.names.is_empty() || options.names.iter().any(|name| name == target.name)
    };
    let mut is_good = true;
    let mut record = TextTable::new(["target", "inputs", "time", "found"]).of_figures();
    for target in TARGETS.iter().filter(wanted) {
        let program = programs
            .get(target.krate)
            .with_context(|| format!("cargo built no tests of {}", target.krate))?;
        let run = run::target(target, program, options.time).await?;
        record.row(cells(target, &run));
        if let Some(finding) = run.finding {
            is_good = false;
            println!("✗ {}: {finding}", target.name);
        }
    }
    println!("\n{}", record.markdown());
    if is_good {
        println!("Nothing was found.");
    } else {
        println!(
            "Mend the code, and move the input to fuzz/seeds/NAME, where the tests replay it."
        );
    }
    Ok(xtask::verdict(is_good))
}

/// A target's row in the record of a run.
fn cells(target: &Target, run: &TargetRun) -> [String; 4] {
    let found = match run.finding {
        Some(_) => "a finding",
        None => "nothing",
    };
    [
        format!("`{}`", target.name),
        run.inputs.clone(),
        format!("{} s", run.time.as_secs()),
        found.to_owned(),
    ]
}

/// The targets' names, with what each tries.
fn names() -> PossibleValuesParser {
    let value = |target: Target| PossibleValue::new(target.name).help(target.tries);
    PossibleValuesParser::new(TARGETS.map(value))
}

fn duration(text: &str) -> Result<Duration> {
    let duration = humantime::parse_duration(text).context("expected a time like 30s or 5m")?;
    anyhow::ensure!(duration >= Duration::from_secs(1), "at least 1s");
    Ok(duration)
}
