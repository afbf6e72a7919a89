//! `cargo xtask bench --instructions`: the instructions that a request costs the host outside the kernel: the
//! difference of two runs that differ only in the number of requests.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use testbed::seed::{Dataset, LAB};
use testbed::{DataStore, HostOptions};

use super::routes::Route;
use super::sides::{RNG_SEED, host_options, start_store};
use super::{Cpus, Options, Programs};
use crate::measure::instructions::Counts;
use crate::measure::{Loaders, TextTable, commit, write_json};
use xtask::setup::{self, COUNTING};

/// The routes that are measured unless the user names others.
const ROUTES: [Route; 5] = [
    Route::Empty,
    Route::Report,
    Route::Order,
    Route::Stock,
    Route::Place,
];

/// The concurrent requests: the host shares work among requests that wait together.
const AT_ONCE: u32 = 16;

/// The requests per connection, in the shorter run and in the longer run.
const TIMES: [u32; 2] = [10, 60];

/// Valgrind writes its figures after the host has ended.
const STOP_LIMIT: Duration = Duration::from_secs(120);

pub(super) async fn run(options: &Options) -> Result<ExitCode> {
    setup::tools(&[COUNTING]).await?;
    let programs = options.common.programs().await?;
    let cpus = Cpus::split()?;
    let loaders = Loaders::default();
    let store = start_store(&programs.host, &cpus, &Dataset::random(LAB, RNG_SEED)).await?;
    let routes = match &options.only[..] {
        [] => &ROUTES,
        routes => routes,
    };
    let mut table = TextTable::new(["route", "instructions for each request"]).of_figures();
    let mut counted = Vec::new();
    for &route in routes {
        let mut totals = [0.0; 2];
        for (times, total) in TIMES.into_iter().zip(&mut totals) {
            let step = format!("counting {}, {} requests", route.label(), AT_ONCE * times);
            eprintln!("▸ {step}");
            let run = count(&programs, &cpus, &store, &loaders, route, AT_ONCE * times).await;
            *total = run.context(step)? as f64;
        }
        let each = (totals[1] - totals[0]) / f64::from(AT_ONCE * (TIMES[1] - TIMES[0]));
        table.row([route.label().to_owned(), format!("{each:.0}")]);
        counted.push(json!({ "route": route.label(), "instructions": each }));
    }
    println!("commit {}, {AT_ONCE} requests at once\n", commit().await);
    print!("{}", table.markdown());
    let all = json!({ "commit": commit().await, "at_once": AT_ONCE, "counted": counted });
    write_json(&options.common.output("bench-instructions"), &all)?;
    Ok(ExitCode::SUCCESS)
}

/// The instructions of one whole run of a host.
async fn count(
    programs: &Programs,
    cpus: &Cpus,
    store: &DataStore,
    loaders: &Loaders,
    route: Route,
    requests: u32,
) -> Result<u64> {
    let counts = Counts::new(store.folder().join("callgrind.out"))?;
    let cache = store.folder().join("counting-cache");
    let options = HostOptions {
        wrapper: counts.wrapper().into(),
        ..host_options(&programs.host, cpus)
    };
    // Code that is compiled for the processor that valgrind emulates must not be used by other hosts.
    let options = options.arg(format!("--compile-cache={}", cache.display()));
    let host = store.host(options).await?;
    let target = route.target(&host.url(""));
    loaders.ask(&target, AT_ONCE, requests).await?;
    host.process().stop(STOP_LIMIT).await?;
    counts.total()
}
