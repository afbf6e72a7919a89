//! `cargo xtask`: everything a developer or CI does with this repository, one file per command.
#![expect(clippy::print_stdout, reason = "a command line talks on stdout")]

mod bench;
mod bench_proxy;
mod build;
mod cargo;
mod conformance;
mod contract;
mod crash_test;
mod deny;
mod fixed_rate;
mod fuzz;
mod lab;
mod load;
mod locust;
mod measure;
mod npm;
mod paths;
mod pgo;
mod python;
mod seed;
mod setup;
mod stop_signals;
mod store_urls;
mod swap_test;
mod test;
mod up;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Developers' commands of Store Manager
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Options),
    Test(test::Options),
    Build(build::Options),
    Deny(deny::Options),
    Fuzz(fuzz::Options),
    Seed(seed::Options),
    Verify(verify::Options),
    Setup(setup::Options),
    Bench(bench::Options),
    BenchProxy(bench_proxy::Options),
    SwapTest(swap_test::Options),
    CrashTest(crash_test::Options),
    Conformance(conformance::Options),
    Load(load::Options),
    Lab(lab::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes. Some libraries' messages repeat their cause; a cause that was said is not said again.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(options) => up::run(options).await,
        Command::Test(options) => test::run(options).await,
        Command::Build(options) => build::run(options).await,
        Command::Deny(options) => deny::run(options).await,
        Command::Fuzz(options) => fuzz::run(options).await,
        Command::Seed(options) => seed::run(options).await,
        Command::Verify(options) => verify::run(options).await,
        Command::Setup(options) => setup::run(options).await,
        Command::Bench(options) => bench::run(options).await,
        Command::BenchProxy(options) => bench_proxy::run(options).await,
        Command::SwapTest(options) => swap_test::run(options).await,
        Command::CrashTest(options) => crash_test::run(options).await,
        Command::Conformance(options) => conformance::run(options).await,
        Command::Load(options) => load::run(options).await,
        Command::Lab(options) => lab::run(options).await,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::one_line;

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let error = anyhow!("refused")
            .context("i/o: refused")
            .context("connecting");
        assert_eq!(one_line(&error), "connecting: i/o: refused");
    }
}
