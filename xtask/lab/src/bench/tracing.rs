//! `cargo xtask bench --tracing`: the cost of traces for the host when none, 1 % and all of them are sent.

use std::process::ExitCode;

use anyhow::Result;
use testbed::seed::{Dataset, LAB};

use super::routes::Route;
use super::sides::{RNG_SEED, start_store, traced_options};
use super::{Cpus, Options};
use crate::measure::{
    Loaders, TraceCosts, TraceReceiver, TraceShare, cpu_per_request, cpu_seconds,
};

/// The number of client connections.
const CONNECTIONS: u32 = 32;

pub(super) async fn run(options: &Options) -> Result<ExitCode> {
    let common = &options.common;
    let binary = common.host().await?;
    let cpus = Cpus::split()?;
    let loaders = Loaders::on(&cpus.load);
    let store = start_store(&binary, &cpus, &Dataset::random(LAB, RNG_SEED)).await?;
    let receiver = TraceReceiver::start().await?;
    let routes = match options.only.as_slice() {
        [] => &[Route::Empty, Route::Report, Route::Order, Route::Place],
        only => only,
    };
    let mut costs = TraceCosts::default();
    let mut shares = TraceShare::ALL;
    for round in 1..=common.rounds {
        // Each round has processes of its own: two of the same program differ by some percent for as long as they run.
        let mut hosts = Vec::new();
        for share in shares {
            let options = traced_options(&binary, &cpus, share, &receiver);
            hosts.push((share, store.host(options).await?));
        }
        for &route in routes {
            let label = route.label();
            for (_, host) in &hosts {
                let target = route.target(&host.url(""));
                loaders.flood(&target, CONNECTIONS, 1).await?;
            }
            for (share, host) in &hosts {
                eprintln!("▸ {label}, round {round}, traces {}", share.name());
                let target = route.target(&host.url(""));
                let used = || cpu_seconds(host.process().id());
                let cost = cpu_per_request(&loaders, &target, CONNECTIONS, common.seconds, used);
                costs.add(label, *share, cost.await?);
            }
        }
        // The order changes, so that other load on the machine affects all alike.
        shares.rotate_left(1);
    }
    costs.report(&common.output("bench-tracing")).await?;
    Ok(ExitCode::SUCCESS)
}
