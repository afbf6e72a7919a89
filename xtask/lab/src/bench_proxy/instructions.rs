//! `--instructions`: the instructions that a request costs outside the kernel: the difference of two runs that differ
//! only in the number of requests.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::Options;
use super::row::Row;
use super::servers::{Balancer, Start, Upstreams, run_folder};
use crate::measure::instructions::Counts;
use crate::measure::{Loaders, TextTable};

/// The requests per concurrent request, in the shorter run and in the longer run.
const TIMES: [u32; 2] = [12, 75];

/// Valgrind writes its figures after the server has ended.
const STOP_LIMIT: Duration = Duration::from_secs(60);

const NAMES: [&str; 2] = ["nginx", "store-proxy"];

/// The instructions per request.
pub(super) struct Instructions {
    counted: Vec<InstructionCount>,
    connections: u32,
}

#[derive(Serialize)]
struct InstructionCount {
    row: Row,
    name: &'static str,
    instructions: f64,
}

impl Instructions {
    /// Counts the instructions of nginx and store-proxy, each with one worker.
    ///
    /// # Errors
    /// If a server does not start or does not answer, or nothing is counted.
    pub(super) async fn count(options: &Options, binary: &Path, cpus: usize) -> Result<Self> {
        let all = format!("0-{}", cpus - 1);
        let loaders = Loaders::default();
        let _upstreams = Upstreams::start(&all).await?;
        let mut counted = Vec::new();
        let rows = options.rows().iter().filter(|row| **row != Row::Idle);
        for (&row, name) in rows.flat_map(|row| NAMES.map(|name| (row, name))) {
            let mut totals = [0.0; 2];
            for (times, total) in TIMES.into_iter().zip(&mut totals) {
                let requests = options.connections * times;
                let step = format!("counting {name}, {}, {requests} requests", row.name());
                eprintln!("▸ {step}");
                let run = run(options, &loaders, binary, &all, row, name, requests).await;
                *total = run.context(step)? as f64;
            }
            let requests = f64::from(options.connections) * f64::from(TIMES[1] - TIMES[0]);
            counted.push(InstructionCount {
                row,
                name,
                instructions: (totals[1] - totals[0]) / requests,
            });
        }
        Ok(Self {
            counted,
            connections: options.connections,
        })
    }

    pub(super) fn json(&self) -> Value {
        json!({ "connections": self.connections, "counted": self.counted })
    }
}

/// The instructions of one whole run.
async fn run(
    options: &Options,
    loaders: &Loaders,
    binary: &Path,
    cpus: &str,
    row: Row,
    name: &'static str,
    requests: u32,
) -> Result<u64> {
    let folder = run_folder()?;
    let counts = Counts::new(folder.join("callgrind.out"))?;
    let start = Start {
        wrapper: &counts.wrapper(),
        workers: 1,
        cpus,
    };
    let balancer = match name {
        "nginx" => Balancer::nginx(&start).await?,
        _ => Balancer::store_proxy(&start, binary).await?,
    };
    let target = row.target(&balancer.base(row.is_https()), &folder);
    loaders.ask(&target, options.connections, requests).await?;
    balancer.stop(STOP_LIMIT).await?;
    counts.total()
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = TextTable::new(["row", "", "instructions for each request"]);
        for InstructionCount {
            row,
            name,
            instructions,
        } in &self.counted
        {
            let each = format!("{instructions:.0}");
            table.row([row.name(), (*name).to_owned(), each]);
        }
        f.write_str(&table.markdown())
    }
}
