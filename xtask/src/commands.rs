//! The commands, and the programs that run them.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{build, deny, setup};

use crate::hand_over::{ForwardedArgs, hand_over};
use crate::{test, up};

/// Developers' commands of Store Manager
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build the store, start it with MariaDB and Redis of its own, fill it with data, and run it until Ctrl-C
    Up(ForwardedArgs),
    Test(test::Options),
    Build(build::Options),
    Deny(deny::Options),
    Setup(setup::Options),
    /// Fill an empty store with data
    Seed(ForwardedArgs),
    /// Audit a store: orders against their items, report totals against the orders, Redis against MySQL
    Verify(ForwardedArgs),
    /// Put load on the store with Locust, and keep the results
    Load(ForwardedArgs),
    /// Measure each step of the course's exercise, and write a report
    Lab(ForwardedArgs),
    /// Measure the host beside a native twin
    Bench(ForwardedArgs),
    /// Measure the proxy beside nginx
    BenchProxy(ForwardedArgs),
    /// Replace a component again and again under load
    SwapTest(ForwardedArgs),
    /// Kill host and MariaDB in turn under a load of orders, and check that no confirmed order is lost
    CrashTest(ForwardedArgs),
    /// Start a whole fleet; with --chaos, let its members fail one after the other under load
    Cluster(ForwardedArgs),
    /// Attack the store, and measure its other clients meanwhile
    Attack(ForwardedArgs),
    /// Run public test suites against the host and the proxy
    Conformance(ForwardedArgs),
    /// Try everything that the console offers in a browser, and compare its page with metrics and status
    ConsoleTest(ForwardedArgs),
    /// Look for inputs that make a fuzz target fail
    Fuzz(ForwardedArgs),
    /// Make the packages that people install: a tarball, a Debian package, images
    Package(ForwardedArgs),
}

/// The program that runs the store on this machine.
pub(crate) const LOCAL: &str = "store-local";

/// The program that measures and tests the store.
const LAB: &str = "lab";

/// The program that makes and tries what people install.
const SHIP: &str = "ship";

pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(rest) => up::run(rest).await,
        Command::Test(options) => test::run(options).await,
        Command::Build(options) => build::run(options).await,
        Command::Deny(options) => deny::run(options).await,
        Command::Setup(options) => setup::run(options).await,
        Command::Seed(rest) => hand_over(LOCAL, "seed", rest).await,
        Command::Verify(rest) => hand_over(LOCAL, "verify", rest).await,
        Command::Load(rest) => hand_over(LAB, "load", rest).await,
        Command::Lab(rest) => hand_over(LAB, "lab", rest).await,
        Command::Bench(rest) => hand_over(LAB, "bench", rest).await,
        Command::BenchProxy(rest) => hand_over(LAB, "bench-proxy", rest).await,
        Command::SwapTest(rest) => hand_over(LAB, "swap-test", rest).await,
        Command::CrashTest(rest) => hand_over(LAB, "crash-test", rest).await,
        Command::Cluster(rest) => hand_over(LAB, "cluster", rest).await,
        Command::Attack(rest) => hand_over(LAB, "attack", rest).await,
        Command::Conformance(rest) => hand_over(LAB, "conformance", rest).await,
        Command::ConsoleTest(rest) => hand_over(LAB, "console-test", rest).await,
        Command::Fuzz(rest) => hand_over(LAB, "fuzz", rest).await,
        Command::Package(rest) => hand_over(SHIP, "package", rest).await,
    }
}
