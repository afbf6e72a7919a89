//! The results of a swap test: a table for people, and JSON.

use std::fmt;

use serde_json::{Value, json};
use testbed::verify::Audit;

use super::admin::GenerationCount;
use super::swaps::SwapAttempt;
use crate::measure::{Column, StreamResult, TextTable, spread};

/// The most by which the 99th percentile may rise while swaps run.
const P99_RATIO: f64 = 2.0;

/// How much the memory may grow from the tenth swap to the last, in percent.
const MEMORY_GROWTH: f64 = 5.0;

/// The longest allowed time of a rollback, from request to answer.
const ROLLBACK_MS: f64 = 100.0;

/// The columns of the table of streams.
const COLUMNS: [Column; 7] = [
    Column::Left(9),
    Column::Left(8),
    Column::Right(9),
    Column::Right(7),
    Column::Right(9),
    Column::Right(9),
    Column::Right(9),
];

/// All measurements of a test.
pub(super) struct Report {
    pub(super) rate: u32,
    pub(super) steady: Vec<StreamResult>,
    pub(super) swapping: Vec<StreamResult>,
    pub(super) tried: Vec<SwapAttempt>,
    /// The times of the rollbacks under load, from request to answer.
    pub(super) rollbacks_ms: Vec<f64>,
    pub(super) freed: GenerationCount,
    /// The resident bytes after the tenth swap and after the last.
    pub(super) memory: [u64; 2],
    pub(super) audit: Audit,
}

impl Report {
    /// Everything that is not as it must be, one line each.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (steady, swapping) in self.steady.iter().zip(&self.swapping) {
            for measured in [steady, swapping] {
                for (what, count) in &measured.failed {
                    failures.push(format!("{}: {count} times {what}", measured.stream));
                }
            }
            let ratio = swapping.p99_ms / steady.p99_ms;
            // Written so that NaN fails too.
            if !matches!(ratio.partial_cmp(&P99_RATIO), Some(order) if order.is_le()) {
                let stream = &steady.stream;
                failures.push(format!(
                    "{stream}: the p99 is {ratio:.2} times the steady one"
                ));
            }
        }
        if self.growth() > MEMORY_GROWTH {
            failures.push(format!("memory grew by {:.1} %", self.growth()));
        }
        for took in self.rollbacks_ms.iter().filter(|took| **took > ROLLBACK_MS) {
            failures.push(format!("a rollback took {took:.0} ms"));
        }
        if self.freed.counted != self.freed.expected {
            let GenerationCount { expected, counted } = self.freed;
            failures.push(format!("{counted} generations were freed, not {expected}"));
        }
        for tried in self.tried.iter().filter(|tried| !tried.is_as_expected()) {
            let (kind, outcome) = (tried.swap.kind, &tried.outcome);
            let number = tried.swap.number;
            failures.push(format!("swap {number} ({kind:?}) ended as `{outcome}`"));
        }
        let mut canaries = self.tried.iter().filter(|tried| tried.is_good_canary());
        if canaries.clone().count() > 0 && !canaries.any(|tried| tried.outcome == "promoted") {
            failures.push("none of the good canaries was promoted".into());
        }
        if !self.audit.is_clean() {
            failures.push("the data differ (below)".into());
        }
        failures
    }

    fn growth(&self) -> f64 {
        let [first, last] = self.memory.map(|bytes| bytes as f64);
        (last / first - 1.0) * 100.0
    }

    /// How many versions of each kind ended in each way.
    fn outcomes(&self) -> Vec<(String, &str, usize)> {
        let mut outcomes: Vec<(String, &str, usize)> = Vec::new();
        for tried in &self.tried {
            let kind = format!("{:?}", tried.swap.kind);
            let outcome = tried.outcome.as_str();
            match outcomes
                .iter_mut()
                .find(|(k, o, _)| *k == kind && *o == outcome)
            {
                Some((_, _, count)) => *count += 1,
                None => outcomes.push((kind, outcome, 1)),
            }
        }
        outcomes
    }

    /// The median and the maximum of a time of the swaps.
    fn times(&self, of: impl Fn(&SwapAttempt) -> Option<f64>) -> [f64; 2] {
        spread(self.tried.iter().filter_map(of))
            .map_or([f64::NAN; 2], |times| [times.median, times.highest])
    }

    /// The results of each stream, without and with swaps.
    fn streams(&self) -> TextTable {
        let head = [
            "", "stream", "requests", "failed", "p50 ms", "p99 ms", "max ms",
        ];
        let mut table = TextTable::new(head);
        for (phase, streams) in [("steady", &self.steady), ("swapping", &self.swapping)] {
            for measured in streams {
                table.row([
                    phase.to_owned(),
                    measured.stream.clone(),
                    measured.requests.to_string(),
                    measured.failed.values().sum::<u64>().to_string(),
                    format!("{:.2}", measured.p50_ms),
                    format!("{:.2}", measured.p99_ms),
                    format!("{:.2}", measured.max_ms),
                ]);
            }
        }
        table
    }

    /// The whole report, for programs.
    pub(super) fn json(&self) -> Value {
        let swaps = self.tried.iter().map(|tried| {
            json!({
                "component": tried.swap.component,
                "kind": format!("{:?}", tried.swap.kind),
                "outcome": tried.outcome,
                "compile_ms": tried.compile_ms,
                "switch_us": tried.switch_us,
                "memory_bytes": tried.memory_bytes,
            })
        });
        json!({
            "rate": self.rate,
            "steady": self.steady,
            "swapping": self.swapping,
            "memory_bytes": {"after_10": self.memory[0], "after_all": self.memory[1]},
            "generations": {"to_free": self.freed.expected, "freed": self.freed.counted},
            "rollbacks_ms": self.rollbacks_ms,
            "data_clean": self.audit.is_clean(),
            "failures": self.failures(),
            "swaps": swaps.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{} requests a second\n", self.rate)?;
        f.write_str(&self.streams().in_columns(&COLUMNS))?;
        for (steady, swapping) in self.steady.iter().zip(&self.swapping) {
            let ratio = swapping.p99_ms / steady.p99_ms;
            writeln!(
                f,
                "\np99 of {}: {ratio:.2} times the steady one (at most {P99_RATIO})",
                steady.stream
            )?;
        }
        writeln!(f)?;
        for (kind, outcome, count) in self.outcomes() {
            writeln!(f, "{count:>4}  {kind:<15} {outcome}")?;
        }
        let [compile, slowest_compile] = self.times(|tried| tried.compile_ms);
        let [switch, slowest_switch] = self.times(|tried| tried.switch_us);
        writeln!(
            f,
            "\ncompiling {compile:.0} ms (slowest {slowest_compile:.0}), switching {switch:.1} µs (slowest {slowest_switch:.1})"
        )?;
        let rollback = self.rollbacks_ms.iter().copied().fold(0.0, f64::max);
        writeln!(
            f,
            "rolling back, with the request for it, {rollback:.1} ms at most"
        )?;
        let [first, last] = self.memory.map(|bytes| bytes as f64 / 1_048_576.0);
        writeln!(
            f,
            "memory {first:.1} MiB after 10 swaps, {last:.1} MiB after {}: {:+.1} % (at most +{MEMORY_GROWTH})",
            self.tried.len(),
            self.growth()
        )?;
        let GenerationCount { expected, counted } = self.freed;
        writeln!(
            f,
            "generations freed: {counted} of {expected}\n\n{}",
            self.audit
        )?;
        let failures = self.failures();
        if failures.is_empty() {
            return write!(f, "\n✓ no request noticed");
        }
        for failure in &failures {
            writeln!(f, "✗ {failure}")?;
        }
        Ok(())
    }
}
