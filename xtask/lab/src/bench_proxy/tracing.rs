//! `cargo xtask bench-proxy --tracing`: the cost of traces for store-proxy when none, 1 % and all of them are sent.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::row::Row;
use super::servers::{Balancer, Start, Upstreams, run_folder};
use super::{CpuSets, Options};
use crate::measure::{Loaders, TraceCosts, TraceReceiver, TraceShare, cpu_per_request};

/// Seconds of load before a measurement: they warm connections and cache.
const WARMING: u32 = 1;

/// A proxy sends what is left of its traces before it ends.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Measures the proxy with one worker. Each sample has a proxy of its own, since all use the same ports.
pub(super) async fn run(options: &Options, binary: &Path, cpus: usize) -> Result<TraceCosts> {
    let place = CpuSets::of(1, cpus);
    let loaders = Loaders::on(&place.others);
    let _upstreams = Upstreams::start(&place.others).await?;
    let receiver = TraceReceiver::start().await?;
    let mut costs = TraceCosts::default();
    let mut shares = TraceShare::ALL;
    for &row in options.rows() {
        for round in 1..=options.rounds {
            for share in shares {
                let step = format!("{}, round {round}, traces {}", row.name(), share.name());
                eprintln!("▸ {step}");
                let traced = TracedProxy {
                    binary,
                    cpus: &place.balancer,
                    environment: share.environment(&receiver),
                };
                let cost = traced.cost(options, &loaders, row).await;
                costs.add(&row.name(), share, cost.context(step)?);
            }
            // The order changes, so that other load on the machine affects all alike.
            shares.rotate_left(1);
        }
    }
    Ok(costs)
}

/// A store-proxy with a share of its traces sent.
struct TracedProxy<'a> {
    binary: &'a Path,
    /// Its processors, in the form of taskset.
    cpus: &'a str,
    environment: Vec<(&'static str, String)>,
}

impl TracedProxy<'_> {
    /// The microseconds of processor time for each request of this row.
    async fn cost(&self, options: &Options, loaders: &Loaders, row: Row) -> Result<f64> {
        let variables = self.environment.iter();
        let variables = variables.map(|(name, value)| format!("{name}={value}"));
        let start = Start {
            wrapper: &[vec!["env".to_owned()], variables.collect()].concat(),
            workers: 1,
            cpus: self.cpus,
        };
        let proxy = Balancer::store_proxy(&start, self.binary).await?;
        let target = row.target(&proxy.base(row.is_https()), &run_folder()?);
        let (connections, seconds) = (options.connections, options.seconds);
        loaders.flood(&target, connections, WARMING).await?;
        let used = || proxy.cpu_seconds();
        let cost = cpu_per_request(loaders, &target, connections, seconds, used).await?;
        proxy.stop(STOP_LIMIT).await?;
        Ok(cost)
    }
}
