//! `--instructions`: what a request costs outside the kernel, as the difference of two runs that differ in nothing but the
//! number of requests.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Options;
use super::servers::{Balancer, Upstreams, run_folder};
use crate::measure::Table;
use crate::measure::instructions::{Counts, ask};

/// Requests of each connection, in the shorter run and in the longer one.
const TIMES: [u32; 2] = [12, 75];

/// Valgrind writes its figures when the server has ended.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Instructions for each request.
pub(super) struct Instructions {
    rows: Vec<(&'static str, f64)>,
    connections: u32,
}

impl Instructions {
    /// Counts nginx and store-proxy, each with one worker.
    ///
    /// # Errors
    /// A server does not start or does not answer, or nothing is counted.
    pub(super) async fn count(options: &Options, binary: &Path, cpus: usize) -> Result<Self> {
        let all = format!("0-{}", cpus - 1);
        let _upstreams = Upstreams::start(&all).await?;
        let mut rows = Vec::new();
        for name in ["nginx", "store-proxy"] {
            let mut totals = [0.0; 2];
            for (times, total) in TIMES.into_iter().zip(&mut totals) {
                eprintln!("▸ counting {name}, {times} requests on each connection");
                let run = run(options, name, binary, &all, times).await;
                *total = run.with_context(|| format!("counting {name}"))? as f64;
            }
            let requests = f64::from(options.connections) * f64::from(TIMES[1] - TIMES[0]);
            rows.push((name, (totals[1] - totals[0]) / requests));
        }
        Ok(Self {
            rows,
            connections: options.connections,
        })
    }

    pub(super) fn json(&self) -> Value {
        let rows = self.rows.iter();
        let rows: Vec<_> = rows
            .map(|(name, each)| json!({ "name": name, "instructions": each }))
            .collect();
        json!({ "connections": self.connections, "counted": rows })
    }
}

/// All instructions of one run.
async fn run(
    options: &Options,
    name: &'static str,
    binary: &Path,
    cpus: &str,
    times: u32,
) -> Result<u64> {
    let counts = Counts::new(run_folder()?.join("callgrind.out"))?;
    let wrapper = counts.wrapper();
    let path = options.path();
    let balancer = match name {
        "nginx" => Balancer::nginx(&wrapper, 1, cpus, path).await?,
        _ => Balancer::store_proxy(&wrapper, binary, 1, cpus, path).await?,
    };
    ask(balancer.port(), path, options.connections, times).await?;
    balancer.stop(STOP_LIMIT).await?;
    counts.total()
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["", "instructions for each request"]);
        for (name, each) in &self.rows {
            table.row([(*name).to_owned(), format!("{each:.0}")]);
        }
        f.write_str(&table.markdown())
    }
}
