//! What was measured, as a table for people and as JSON for programs.

use std::fmt;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::Options;
use super::instructions::Instructions;
use crate::measure::{Table, commit, median, processor, spread};
use xtask::programs::{find_program, output_of};

/// One balancer in one round.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sample {
    pub(super) requests_per_second: f64,
    pub(super) cpu_seconds_per_100k: f64,
    /// Processors in use at full load.
    pub(super) cpu_busy: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) memory_kib: u64,
}

#[derive(Serialize)]
struct Row {
    workers: usize,
    /// From 1 on.
    round: u32,
    name: &'static str,
    #[serde(flatten)]
    sample: Sample,
}

/// All samples of a run.
pub(super) struct Report {
    rows: Vec<Row>,
    instructions: Option<Instructions>,
    about: Value,
}

/// Of one balancer with one number of workers.
struct Medians {
    requests_per_second: f64,
    lowest: f64,
    highest: f64,
    cpu_seconds_per_100k: f64,
    cpu_busy: f64,
    p50_ms: f64,
    p99_ms: f64,
    memory_kib: f64,
}

impl Report {
    pub(super) async fn new(options: &Options, cpus: usize) -> Result<Self> {
        let nginx = find_program("nginx").context("nginx is not installed")?;
        let nginx = output_of(&nginx.display().to_string(), &["-v"]).await;
        let about = json!({
            "commit": commit().await,
            "processor": processor(),
            "processors": cpus,
            "nginx": nginx.trim_start_matches("nginx version: "),
            "path": options.path(),
            "rounds": options.rounds,
            "seconds": options.seconds,
            "connections": options.connections,
            "rate": options.rate,
        });
        Ok(Self {
            rows: Vec::new(),
            instructions: None,
            about,
        })
    }

    pub(super) fn add(&mut self, workers: usize, round: u32, name: &'static str, sample: Sample) {
        self.rows.push(Row {
            workers,
            round: round + 1,
            name,
            sample,
        });
    }

    /// What was counted instead.
    pub(super) fn instructions(&mut self, instructions: Instructions) {
        self.instructions = Some(instructions);
    }

    pub(super) fn json(&self) -> Value {
        let instructions = self.instructions.as_ref().map(Instructions::json);
        json!({ "about": self.about, "samples": self.rows, "instructions": instructions })
    }

    fn medians(&self, workers: usize, name: &str) -> Option<Medians> {
        let samples: Vec<&Sample> = self
            .rows
            .iter()
            .filter(|row| row.workers == workers && row.name == name)
            .map(|row| &row.sample)
            .collect();
        let middle = |value: fn(&Sample) -> f64| median(samples.iter().map(|sample| value(sample)));
        let rates = spread(samples.iter().map(|sample| sample.requests_per_second))?;
        Some(Medians {
            requests_per_second: rates.median,
            lowest: rates.lowest,
            highest: rates.highest,
            cpu_seconds_per_100k: middle(|s| s.cpu_seconds_per_100k)?,
            cpu_busy: middle(|s| s.cpu_busy)?,
            p50_ms: middle(|s| s.p50_ms)?,
            p99_ms: middle(|s| s.p99_ms)?,
            memory_kib: middle(|s| s.memory_kib as f64)?,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = |key: &str| self.about[key].as_str().unwrap_or("?").to_owned();
        if let Some(instructions) = &self.instructions {
            let (nginx, commit, path) = (about("nginx"), about("commit"), about("path"));
            let connections = self.about["connections"].as_u64().unwrap_or_default();
            writeln!(
                f,
                "{nginx}, commit {commit}, {path}, {connections} connections\n"
            )?;
            return write!(f, "{instructions}");
        }
        writeln!(
            f,
            "{}, {} processors, {}, commit {}, {}; medians of {} rounds of {} s, {} connections, latency at {} requests/s\n",
            about("processor"),
            self.about["processors"],
            about("nginx"),
            about("commit"),
            about("path"),
            self.about["rounds"],
            self.about["seconds"],
            self.about["connections"],
            self.about["rate"],
        )?;
        let mut table = Table::new([
            "workers",
            "",
            "requests/s",
            "lowest–highest",
            "CPU s / 100,000",
            "CPUs busy",
            "p50 ms",
            "p99 ms",
            "memory MiB",
        ]);
        let mut workers: Vec<usize> = self.rows.iter().map(|row| row.workers).collect();
        workers.dedup();
        for workers in workers {
            let (Some(nginx), Some(ours)) = (
                self.medians(workers, "nginx"),
                self.medians(workers, "store-proxy"),
            ) else {
                continue;
            };
            table.row(row(workers, "nginx", &nginx));
            table.row(row(workers, "store-proxy", &ours));
            let ratio = |of: fn(&Medians) -> f64| format!("{:.2}", of(&ours) / of(&nginx));
            table.row([
                workers.to_string(),
                "ratio".to_owned(),
                ratio(|m| m.requests_per_second),
                String::new(),
                ratio(|m| m.cpu_seconds_per_100k),
                String::new(),
                ratio(|m| m.p50_ms),
                ratio(|m| m.p99_ms),
                ratio(|m| m.memory_kib),
            ]);
        }
        f.write_str(&table.markdown())
    }
}

fn row(workers: usize, name: &str, m: &Medians) -> [String; 9] {
    [
        workers.to_string(),
        name.to_owned(),
        format!("{:.0}", m.requests_per_second),
        format!("{:.0}–{:.0}", m.lowest, m.highest),
        format!("{:.2}", m.cpu_seconds_per_100k),
        format!("{:.2}", m.cpu_busy),
        format!("{:.2}", m.p50_ms),
        format!("{:.2}", m.p99_ms),
        format!("{:.1}", m.memory_kib / 1024.0),
    ]
}
