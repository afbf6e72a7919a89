//! The processor time and memory of processes, from `/proc`.
//!
//! It is read with `procfs`, on which the metrics of host and proxy already depend: `procfs` reads only what is needed
//! and keeps nothing. The alternative, `sysinfo`, refreshes lists of its own and would be one more dependency.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};
use procfs::process::{Process, all_processes};
use procfs::{CurrentSI, KernelStats, page_size, ticks_per_second};

use super::model::Usage;

/// The name of the load generator in results.
const LOCUST: &str = "locust";

/// Reads the usage of processes repeatedly, and returns the usage since the last read.
pub(super) struct UsageMeter {
    processes: Vec<(String, u32)>,
    last: UsageSample,
}

/// Processor time since the start, and memory, at one moment.
struct UsageSample {
    at: Instant,
    /// The busy ticks of all processors.
    machine: u64,
    /// Ticks and memory bytes, by name.
    processes: BTreeMap<String, (u64, u64)>,
}

/// The processor time between two reads, and the memory at the second.
pub(super) struct Consumption {
    pub(super) machine_busy: f64,
    pub(super) processes: Vec<Usage>,
}

impl UsageMeter {
    /// Starts to watch these processes (name, id), and Locust whenever it runs.
    pub(super) fn new(processes: Vec<(String, u32)>) -> Result<Self> {
        let last = look(&processes)?;
        Ok(Self { processes, last })
    }

    /// The usage since the last call, or since the start.
    pub(super) fn since_last(&mut self) -> Result<Consumption> {
        let now = look(&self.processes)?;
        let seconds = now.at.duration_since(self.last.at).as_secs_f64().max(0.001);
        let per_second = |ticks: u64| ticks as f64 / ticks_per_second() as f64 / seconds;
        let machine_busy = per_second(now.machine.saturating_sub(self.last.machine));
        let processes = now.processes.iter().map(|(name, (ticks, memory_bytes))| {
            // A process that has just started has used all of its time since then.
            let before = self.last.processes.get(name).map_or(0, |(ticks, _)| *ticks);
            Usage {
                name: name.clone(),
                cpu: per_second(ticks.saturating_sub(before)),
                memory_bytes: *memory_bytes,
            }
        });
        let processes = processes.collect();
        self.last = now;
        Ok(Consumption {
            machine_busy,
            processes,
        })
    }
}

fn look(processes: &[(String, u32)]) -> Result<UsageSample> {
    let mut found = BTreeMap::new();
    for (name, id) in processes {
        // Another check notices that a server has ended.
        if let Some(used) = i32::try_from(*id).ok().and_then(used_by) {
            found.insert(name.clone(), used);
        }
    }
    for id in locust() {
        if let Some((ticks, memory)) = used_by(id) {
            let sum: &mut (u64, u64) = found.entry(LOCUST.to_owned()).or_default();
            *sum = (sum.0 + ticks, sum.1 + memory);
        }
    }
    Ok(UsageSample {
        at: Instant::now(),
        machine: busy_ticks()?,
        processes: found,
    })
}

/// Ticks and resident bytes of a process.
fn used_by(id: i32) -> Option<(u64, u64)> {
    let stat = Process::new(id).ok()?.stat().ok()?;
    Some((stat.utime + stat.stime, stat.rss * page_size()))
}

/// The Locust processes among our children.
fn locust() -> Vec<i32> {
    let ours = i32::try_from(std::process::id()).unwrap_or_default();
    let Ok(processes) = all_processes() else {
        return Vec::new();
    };
    let children = processes.flatten().filter(|process| {
        let child = process.stat().is_ok_and(|stat| stat.ppid == ours);
        child
            && process
                .cmdline()
                .is_ok_and(|args| args.iter().any(|arg| arg.contains(LOCUST)))
    });
    children.map(|process| process.pid).collect()
}

fn busy_ticks() -> Result<u64> {
    let stats = KernelStats::current().context("reading /proc/stat")?;
    let cpu = stats.total;
    let extra = [cpu.irq, cpu.softirq, cpu.steal].map(Option::unwrap_or_default);
    Ok(cpu.user + cpu.nice + cpu.system + extra.iter().sum::<u64>())
}
