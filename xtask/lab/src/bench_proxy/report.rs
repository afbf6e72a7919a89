//! The results, as tables for people and as JSON for programs.

use std::fmt;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::instructions::Instructions;
use super::row::Row;
use super::sample::Sample;
use super::{Options, goals};
use crate::measure::{
    IDLE_CONNECTIONS, TextTable, commit, median, mostly_unclear, processor, spread,
};
use xtask::programs::{find_program, output_of};

/// The balancer that all others are compared with.
const BASE: &str = "nginx";

/// One balancer in one round of a row.
#[derive(Serialize)]
struct RoundSample {
    row: Row,
    workers: usize,
    /// The number of the round, from 1.
    round: u32,
    name: &'static str,
    #[serde(flatten)]
    sample: Sample,
}

/// The memory of an idle connection on one balancer.
#[derive(Serialize)]
struct Idle {
    workers: usize,
    name: &'static str,
    kib: f64,
}

/// All samples of a run.
pub(super) struct Report {
    samples: Vec<RoundSample>,
    idle: Vec<Idle>,
    instructions: Option<Instructions>,
    about: Value,
}

/// The medians of one balancer in a row, with one number of workers.
pub(super) struct Medians {
    pub(super) requests_per_second: f64,
    lowest: f64,
    highest: f64,
    cpu_seconds_per_100k: f64,
    cpu_busy: f64,
    p50_ms: f64,
    pub(super) p99_ms: f64,
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
            "rounds": options.rounds,
            "seconds": options.seconds,
            "connections": options.connections,
            "idle_connections": IDLE_CONNECTIONS,
        });
        Ok(Self {
            samples: Vec::new(),
            idle: Vec::new(),
            instructions: None,
            about,
        })
    }

    pub(super) fn add(
        &mut self,
        row: Row,
        workers: usize,
        round: u32,
        name: &'static str,
        sample: Sample,
    ) {
        self.samples.push(RoundSample {
            row,
            workers,
            round: round + 1,
            name,
            sample,
        });
    }

    /// Adds the memory of an idle connection, in KiB.
    pub(super) fn add_idle(&mut self, workers: usize, name: &'static str, kib: f64) {
        self.idle.push(Idle { workers, name, kib });
    }

    /// Adds the counts of instructions.
    pub(super) fn instructions(&mut self, instructions: Instructions) {
        self.instructions = Some(instructions);
    }

    pub(super) fn json(&self) -> Value {
        let instructions = self.instructions.as_ref().map(Instructions::json);
        json!({ "about": self.about, "samples": self.samples, "idle": self.idle, "instructions": instructions })
    }

    /// The ratio of store-proxy to nginx, with one worker.
    pub(super) fn ratio(&self, row: Row, of: fn(&Medians) -> f64) -> Option<f64> {
        let side = |name| self.medians(row, 1, name).as_ref().map(of);
        Some(side("store-proxy")? / side(BASE)?)
    }

    /// Why that ratio of latencies says little about the balancers; `None` if it says something.
    pub(super) fn unclear(&self, row: Row) -> Option<&'static str> {
        let side = |name| mostly_unclear(self.samples(row, 1, name).map(|sample| sample.unclear));
        side("store-proxy").or_else(|| side(BASE))
    }

    /// The memory of an idle connection with one worker, in KiB.
    pub(super) fn idle_kib(&self, name: &str) -> Option<f64> {
        let mut idle = self.idle.iter();
        let found = idle.find(|idle| idle.name == name && idle.workers == 1);
        found.map(|idle| idle.kib)
    }

    fn samples(&self, row: Row, workers: usize, name: &str) -> impl Iterator<Item = &Sample> {
        let measured = self.samples.iter().filter(move |measured| {
            measured.row == row && measured.workers == workers && measured.name == name
        });
        measured.map(|measured| &measured.sample)
    }

    fn medians(&self, row: Row, workers: usize, name: &str) -> Option<Medians> {
        let samples: Vec<&Sample> = self.samples(row, workers, name).collect();
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

    /// Each row and number of workers with the measured balancers, in the order of measurement.
    fn order(&self) -> Vec<(Row, usize, Vec<&'static str>)> {
        let mut order: Vec<(Row, usize, Vec<&'static str>)> = Vec::new();
        for measured in &self.samples {
            let (row, workers) = (measured.row, measured.workers);
            let place = order
                .iter_mut()
                .find(|(r, w, _)| (*r, *w) == (row, workers));
            match place {
                Some((_, _, names)) if names.contains(&measured.name) => {}
                Some((_, _, names)) => names.push(measured.name),
                None => order.push((row, workers, vec![measured.name])),
            }
        }
        order
    }

    fn table(&self) -> TextTable {
        let mut table = TextTable::new([
            "row",
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
        for (row, workers, names) in self.order() {
            let medians = |name| self.medians(row, workers, name);
            let Some(base) = medians(BASE) else { continue };
            for name in names {
                let Some(own) = medians(name) else { continue };
                table.row(cells(row, workers, name, &own));
                if name != BASE {
                    table.row(ratios(row, workers, name, &own, &base));
                }
            }
        }
        table
    }

    fn idle_table(&self) -> TextTable {
        let mut table = TextTable::new(["workers", "", "KiB for each idle connection"]);
        for Idle { workers, name, kib } in &self.idle {
            table.row([workers.to_string(), (*name).to_owned(), format!("{kib:.1}")]);
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = |key: &str| self.about[key].as_str().unwrap_or("?").to_owned();
        let (nginx, commit) = (about("nginx"), about("commit"));
        let connections = &self.about["connections"];
        if let Some(instructions) = &self.instructions {
            let at_once = format!("{connections} requests at once");
            return write!(f, "{nginx}, commit {commit}, {at_once}\n\n{instructions}");
        }
        writeln!(
            f,
            "{}, {} processors, {nginx}, commit {commit}; medians of {} rounds of {} s, {connections} connections\n",
            about("processor"),
            self.about["processors"],
            self.about["rounds"],
            self.about["seconds"],
        )?;
        if !self.samples.is_empty() {
            writeln!(f, "{}", self.table().markdown())?;
        }
        if !self.idle.is_empty() {
            writeln!(f, "{}", self.idle_table().markdown())?;
        }
        f.write_str(&goals::table(self).markdown())
    }
}

fn cells(row: Row, workers: usize, name: &str, m: &Medians) -> [String; 10] {
    [
        row.name(),
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

fn ratios(row: Row, workers: usize, name: &str, own: &Medians, base: &Medians) -> [String; 10] {
    let ratio = |of: fn(&Medians) -> f64| format!("{:.2}", of(own) / of(base));
    [
        row.name(),
        workers.to_string(),
        format!("{name} / {BASE}"),
        ratio(|m| m.requests_per_second),
        String::new(),
        ratio(|m| m.cpu_seconds_per_100k),
        String::new(),
        ratio(|m| m.p50_ms),
        ratio(|m| m.p99_ms),
        ratio(|m| m.memory_kib),
    ]
}
