//! `store-local`: runs the store on this machine. `cargo xtask up`, `seed` and `verify` build and start this program.
#![expect(clippy::print_stdout, reason = "a command line talks on stdout")]

mod seed;
mod store_urls;
mod up;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The store on this machine
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Options),
    Seed(seed::Options),
    Verify(verify::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    xtask::report(match Cli::parse().command {
        Command::Up(options) => up::run(options).await,
        Command::Seed(options) => seed::run(options).await,
        Command::Verify(options) => verify::run(options).await,
    })
}
