//! What was measured, as tables for people and as JSON for programs.

use std::fmt;

use serde_json::{Value, json};

use super::counters::Counters;
use super::goals;
use super::routes::Route;
use super::sides::{HOST, NATIVE};
use super::{Cpus, Options};
use crate::measure::{Latency, Spread, commit, median, output_of, processor, spread};

/// One server in one round, as much as goes.
pub(super) struct Sample {
    pub(super) requests: f64,
    pub(super) requests_per_second: f64,
    /// `None` for a server that is not ours.
    pub(super) cpu_seconds: Option<f64>,
    pub(super) cpu_busy: Option<f64>,
    pub(super) peak_kib: Option<u64>,
    pub(super) asked: Counters,
}

impl Sample {
    fn cpu_seconds_per_100k(&self) -> Option<f64> {
        self.cpu_seconds
            .map(|used| used / self.requests * 100_000.0)
    }
}

/// One server in one round, at a fixed rate.
pub(super) struct LatencySample {
    pub(super) route: Route,
    pub(super) rate: u32,
    pub(super) round: u32,
    pub(super) side: String,
    pub(super) latency: Latency,
}

struct Row {
    route: Route,
    connections: u32,
    round: u32,
    side: String,
    sample: Sample,
}

/// All samples of a run.
pub(super) struct Report {
    rows: Vec<Row>,
    latencies: Vec<LatencySample>,
    about: Value,
}

impl Report {
    pub(super) async fn new(options: &Options, cpus: &Cpus) -> Self {
        let about = json!({
            "commit": commit().await,
            "processor": processor(),
            "cpus": { "server": cpus.server, "load": cpus.load, "stores": cpus.stores },
            "mariadb": output_of("mariadbd", &["--version"]).await,
            "redis": output_of("redis-server", &["--version"]).await,
            "rounds": options.common.rounds,
            "seconds": options.common.seconds,
            "latency_connections": options.latency_connections,
        });
        Self {
            rows: Vec::new(),
            latencies: Vec::new(),
            about,
        }
    }

    pub(super) fn add(
        &mut self,
        route: Route,
        connections: u32,
        round: u32,
        side: &str,
        sample: Sample,
    ) {
        self.rows.push(Row {
            route,
            connections,
            round,
            side: side.to_owned(),
            sample,
        });
    }

    pub(super) fn add_latency(&mut self, sample: LatencySample) {
        self.latencies.push(sample);
    }

    /// The median of a side's requests/s.
    pub(super) fn requests_per_second(
        &self,
        route: Route,
        connections: u32,
        side: &str,
    ) -> Option<f64> {
        let rows = self.of(route, connections, side);
        median(rows.map(|sample| sample.requests_per_second))
    }

    /// The most requests/s of a side, at whatever number of connections.
    pub(super) fn most(&self, route: Route, side: &str) -> Option<f64> {
        self.cases()
            .into_iter()
            .filter(|(measured, _)| *measured == route)
            .filter_map(|(_, connections)| self.requests_per_second(route, connections, side))
            .max_by(f64::total_cmp)
    }

    /// The median of a side's 99th percentile.
    pub(super) fn p99_ms(&self, route: Route, side: &str) -> Option<f64> {
        self.latency(route, side, |latency| latency.p99_ms)
    }

    pub(super) fn json(&self) -> Value {
        let samples: Vec<Value> = self.rows.iter().map(row_json).collect();
        let latencies: Vec<Value> = self.latencies.iter().map(latency_json).collect();
        json!({ "about": self.about, "samples": samples, "latencies": latencies })
    }

    fn of(
        &self,
        route: Route,
        connections: u32,
        side: &str,
    ) -> impl Iterator<Item = &Sample> + Clone {
        let rows = self.rows.iter().filter(move |row| {
            row.route == route && row.connections == connections && row.side == side
        });
        rows.map(|row| &row.sample)
    }

    fn latency(&self, route: Route, side: &str, value: fn(&Latency) -> f64) -> Option<f64> {
        let samples = self.latencies.iter();
        let samples = samples.filter(|sample| sample.route == route && sample.side == side);
        median(samples.map(|sample| value(&sample.latency)))
    }

    /// What was measured, in order.
    fn cases(&self) -> Vec<(Route, u32)> {
        let mut cases: Vec<_> = self
            .rows
            .iter()
            .map(|row| (row.route, row.connections))
            .collect();
        cases.dedup();
        cases
    }

    fn sides(&self) -> Vec<&str> {
        let mut sides = Vec::new();
        for row in &self.rows {
            if !sides.contains(&row.side.as_str()) {
                sides.push(&row.side);
            }
        }
        sides
    }

    fn write_floods(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| route | connections | | requests/s | lowest–highest | CPU s / 100,000 | busy | peak MiB | MySQL connections / 100 | MySQL round trips | prepared | Redis commands |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        for (route, connections) in self.cases() {
            for side in self.sides() {
                self.write_flood(f, route, connections, side)?;
            }
            self.write_ratio(f, route, connections)?;
        }
        Ok(())
    }

    fn write_flood(
        &self,
        f: &mut fmt::Formatter<'_>,
        route: Route,
        connections: u32,
        side: &str,
    ) -> fmt::Result {
        let samples = self.of(route, connections, side);
        let rates = spread(samples.clone().map(|sample| sample.requests_per_second));
        let Some(Spread {
            median: rate,
            lowest,
            highest,
        }) = rates
        else {
            return Ok(());
        };
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
        };
        let asked = |value: fn(&Counters) -> f64| {
            median(samples.clone().map(|s| value(&s.asked) / s.requests))
        };
        let cpu = median(samples.clone().filter_map(Sample::cpu_seconds_per_100k));
        let busy = median(samples.clone().filter_map(|sample| sample.cpu_busy));
        let peak = median(
            samples
                .clone()
                .filter_map(|s| s.peak_kib.map(|kib| kib as f64)),
        );
        writeln!(
            f,
            "| {} | {connections} | {side} | {rate:.0} | {lowest:.0}–{highest:.0} | {} | {} | {} | {} | {} | {} | {} |",
            route.label(),
            shown(cpu, 2),
            shown(busy, 2),
            shown(peak.map(|kib| kib / 1024.0), 0),
            shown(asked(|c| c.mysql_connections).map(|n| n * 100.0), 2),
            shown(asked(|c| c.mysql_round_trips), 2),
            shown(asked(|c| c.mysql_prepared), 3),
            shown(asked(|c| c.redis_commands), 2),
        )
    }

    fn write_ratio(
        &self,
        f: &mut fmt::Formatter<'_>,
        route: Route,
        connections: u32,
    ) -> fmt::Result {
        let rate = |side| self.requests_per_second(route, connections, side);
        let cpu = |side| {
            let samples = self.of(route, connections, side);
            median(samples.filter_map(Sample::cpu_seconds_per_100k))
        };
        let (Some(host), Some(native), Some(host_cpu), Some(native_cpu)) =
            (rate(HOST), rate(NATIVE), cpu(HOST), cpu(NATIVE))
        else {
            return Ok(());
        };
        writeln!(
            f,
            "| {} | {connections} | host / native | {:.2} | | {:.2} | | | | | | |",
            route.label(),
            host / native,
            host_cpu / native_cpu,
        )
    }

    fn write_latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| route | requests/s asked | | p50 ms | p99 ms | p99.9 ms |\n|---|---|---|---|---|---|"
        )?;
        let mut asked: Vec<_> = self.latencies.iter().map(|s| (s.route, s.rate)).collect();
        asked.dedup();
        for (route, rate) in asked {
            for side in self.sides() {
                let of = |value| self.latency(route, side, value).unwrap_or(f64::NAN);
                writeln!(
                    f,
                    "| {} | {rate} | {side} | {:.2} | {:.2} | {:.2} |",
                    route.label(),
                    of(|latency| latency.p50_ms),
                    of(|latency| latency.p99_ms),
                    of(|latency| latency.p999_ms),
                )?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = |key: &str| self.about[key].as_str().unwrap_or("?").to_owned();
        writeln!(
            f,
            "{}, commit {}; processors: server {}, load {}, MariaDB and Redis {}; medians of {} rounds of {} s\n",
            about("processor"),
            about("commit"),
            self.about["cpus"]["server"],
            self.about["cpus"]["load"],
            self.about["cpus"]["stores"],
            self.about["rounds"],
            self.about["seconds"],
        )?;
        self.write_floods(f)?;
        writeln!(
            f,
            "\nLatency at a fixed rate, corrected, {} connections:\n",
            self.about["latency_connections"]
        )?;
        self.write_latencies(f)?;
        writeln!(f)?;
        goals::write(f, self)
    }
}

fn row_json(row: &Row) -> Value {
    let sample = &row.sample;
    json!({
        "route": row.route.label(),
        "connections": row.connections,
        "round": row.round + 1,
        "side": row.side,
        "requests": sample.requests,
        "requests_per_second": sample.requests_per_second,
        "cpu_seconds_per_100k": sample.cpu_seconds_per_100k(),
        "cpu_busy": sample.cpu_busy,
        "peak_kib": sample.peak_kib,
        "mysql_connections": sample.asked.mysql_connections,
        "mysql_round_trips": sample.asked.mysql_round_trips,
        "mysql_prepared": sample.asked.mysql_prepared,
        "redis_commands": sample.asked.redis_commands,
    })
}

fn latency_json(sample: &LatencySample) -> Value {
    json!({
        "route": sample.route.label(),
        "rate": sample.rate,
        "round": sample.round + 1,
        "side": sample.side,
        "p50_ms": sample.latency.p50_ms,
        "p99_ms": sample.latency.p99_ms,
        "p999_ms": sample.latency.p999_ms,
    })
}
