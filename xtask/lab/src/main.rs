//! `lab`: measures the store and tests it from outside. `cargo xtask` builds and starts this program for the commands
//! below.
#![expect(clippy::print_stdout, reason = "a command line talks on stdout")]

mod attack;
mod bench;
mod bench_proxy;
mod cluster;
mod conformance;
mod console_test;
mod crash_test;
mod fuzz;
mod lab;
mod load;
mod locust;
mod measure;
mod swap_test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures the store, and tests it from outside
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Load(load::Options),
    Lab(lab::Options),
    Bench(bench::Options),
    BenchProxy(bench_proxy::Options),
    SwapTest(swap_test::Options),
    CrashTest(crash_test::Options),
    Cluster(cluster::Options),
    Attack(attack::Options),
    Conformance(conformance::Options),
    ConsoleTest(console_test::Options),
    Fuzz(fuzz::Options),
    Send(measure::SendOptions),
}

#[tokio::main]
async fn main() -> ExitCode {
    xtask::report(match Cli::parse().command {
        Command::Load(options) => load::run(options).await,
        Command::Lab(options) => lab::run(options).await,
        Command::Bench(options) => bench::run(options).await,
        Command::BenchProxy(options) => bench_proxy::run(options).await,
        Command::SwapTest(options) => swap_test::run(options).await,
        Command::CrashTest(options) => crash_test::run(options).await,
        Command::Cluster(options) => cluster::run(options).await,
        Command::Attack(options) => attack::run(options).await,
        Command::Conformance(options) => conformance::run(options).await,
        Command::ConsoleTest(options) => console_test::run(options).await,
        Command::Fuzz(options) => fuzz::run(options).await,
        Command::Send(options) => measure::send(options).await,
    })
}
