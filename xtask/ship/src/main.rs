//! `ship`: makes the packages that people install. `cargo xtask package` builds and starts this program.
//!
//! `release` says which version of which commit is made, `programs` builds the programs, `manual` has them write their
//! man pages and completions, `contents` lists what every package contains. Each kind of package has a file: `tarball`,
//! `deb`, `image`. `sbom` lists what the programs are built of, and `seal` makes the checksums and signs them. `trial`
//! installs the packages and provokes faults.
#![expect(clippy::print_stdout, reason = "a command line talks on stdout")]

mod contents;
mod deb;
mod files;
mod image;
mod manifest;
mod manual;
mod package;
mod programs;
mod release;
mod sbom;
mod seal;
mod tarball;
mod trial;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Makes and tests the packages that people install
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Package(package::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Package(options) = Cli::parse().command;
    xtask::report(package::run(options).await)
}
