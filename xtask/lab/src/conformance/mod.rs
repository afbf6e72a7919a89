//! `cargo xtask conformance`: runs public test suites against our servers.

mod cache;
mod choices;
mod http2;
mod report;
mod run;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Run a public suite against our servers
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Debug, Subcommand)]
enum Suite {
    Cache(cache::Options),
    Http2(http2::Options),
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    match options.suite {
        Suite::Cache(options) => cache::run(options).await,
        Suite::Http2(options) => http2::run(options).await,
    }
}
