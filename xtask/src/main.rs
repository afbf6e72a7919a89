//! `cargo xtask`: everything that a developer or CI does with this repository. Commands that do more than building are
//! run by other programs, which are built when they are needed.

mod commands;
mod hand_over;
mod test;
mod up;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    xtask::report(commands::run(Cli::parse().command).await)
}
