//! What was measured, as a table for people and as JSON for programs.

use std::fmt;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use xtask::programs::find_program;

use super::Options;
use super::instructions::Instructions;
use xtask::programs::output_of;

use crate::measure::{commit, median, processor, spread};

/// One balancer in one round.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) requests_per_second: f64,
    pub(super) cpu_seconds_per_100k: f64,
    /// Processors in use at full load.
    pub(super) cpu_busy: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) memory_kib: u64,
}

struct Row {
    workers: usize,
    round: u32,
    name: &'static str,
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
            round,
            name,
            sample,
        });
    }

    /// What was counted instead.
    pub(super) fn instructions(&mut self, instructions: Instructions) {
        self.instructions = Some(instructions);
    }

    pub(super) fn json(&self) -> String {
        let samples: Vec<Value> = self.rows.iter().map(row_json).collect();
        let instructions = self.instructions.as_ref().map(Instructions::json);
        let all = json!({ "about": self.about, "samples": samples, "instructions": instructions });
        format!("{all:#}\n")
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
        writeln!(
            f,
            "| workers | | requests/s | lowest–highest | CPU s / 100,000 | CPUs busy | p50 ms | p99 ms | memory MiB |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
        let mut workers: Vec<usize> = self.rows.iter().map(|row| row.workers).collect();
        workers.dedup();
        for workers in workers {
            let (Some(nginx), Some(ours)) = (
                self.medians(workers, "nginx"),
                self.medians(workers, "store-proxy"),
            ) else {
                continue;
            };
            line(f, workers, "nginx", &nginx)?;
            line(f, workers, "store-proxy", &ours)?;
            writeln!(
                f,
                "| {workers} | ratio | {:.2} | | {:.2} | | {:.2} | {:.2} | {:.2} |",
                ours.requests_per_second / nginx.requests_per_second,
                ours.cpu_seconds_per_100k / nginx.cpu_seconds_per_100k,
                ours.p50_ms / nginx.p50_ms,
                ours.p99_ms / nginx.p99_ms,
                ours.memory_kib / nginx.memory_kib,
            )?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, workers: usize, name: &str, m: &Medians) -> fmt::Result {
    writeln!(
        f,
        "| {workers} | {name} | {:.0} | {:.0}–{:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} |",
        m.requests_per_second,
        m.lowest,
        m.highest,
        m.cpu_seconds_per_100k,
        m.cpu_busy,
        m.p50_ms,
        m.p99_ms,
        m.memory_kib / 1024.0,
    )
}

fn row_json(row: &Row) -> Value {
    json!({
        "workers": row.workers,
        "round": row.round + 1,
        "name": row.name,
        "requests_per_second": row.sample.requests_per_second,
        "cpu_seconds_per_100k": row.sample.cpu_seconds_per_100k,
        "cpu_busy": row.sample.cpu_busy,
        "p50_ms": row.sample.p50_ms,
        "p99_ms": row.sample.p99_ms,
        "memory_kib": row.sample.memory_kib,
    })
}
