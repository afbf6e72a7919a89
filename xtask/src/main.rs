//! `cargo xtask`: everything a developer or CI does with this repository. What takes more than building is done by one
//! of two other programs, which are built when they are asked for.

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
