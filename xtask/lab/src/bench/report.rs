//! The samples of a run, and their JSON for programs; `table` prints them for people.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::routes::Route;
use super::{Cpus, Options};
use crate::measure::{Counters, StreamResult, commit, median, mostly_unclear, processor};
use xtask::programs::output_of;

/// The rate of a latency measurement, as a share of the saturation.
const SHARE_OF_SATURATION: f64 = 0.7;

/// A sample of one server in one round under full load.
pub(super) struct Sample {
    pub(super) requests: f64,
    pub(super) requests_per_second: f64,
    pub(super) p50_ms: f64,
    /// `None` for a server that we did not start.
    pub(super) cpu_seconds: Option<f64>,
    pub(super) cpu_busy: Option<f64>,
    pub(super) mariadb_cpu_seconds: Option<f64>,
    pub(super) redis_cpu_seconds: Option<f64>,
    pub(super) peak_kib: Option<u64>,
    pub(super) asked: Counters,
}

impl Sample {
    pub(super) fn cpu_seconds_per_100k(&self) -> Option<f64> {
        self.per_100k(self.cpu_seconds)
    }

    pub(super) fn mariadb_cpu_seconds_per_100k(&self) -> Option<f64> {
        self.per_100k(self.mariadb_cpu_seconds)
    }

    pub(super) fn redis_cpu_seconds_per_100k(&self) -> Option<f64> {
        self.per_100k(self.redis_cpu_seconds)
    }

    fn per_100k(&self, used: Option<f64>) -> Option<f64> {
        used.map(|used| used / self.requests * 100_000.0)
    }
}

/// A sample of one server in one round at a fixed rate.
#[derive(Serialize)]
pub(super) struct LatencySample {
    #[serde(serialize_with = "label")]
    pub(super) route: Route,
    pub(super) rate: u32,
    /// The number of the round, from 1.
    pub(super) round: u32,
    pub(super) side: String,
    #[serde(flatten)]
    pub(super) latency: StreamResult,
}

fn label<S: Serializer>(route: &Route, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(route.label())
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
    pub(super) latencies: Vec<LatencySample>,
    /// The machine, the commit and the options.
    pub(super) about: Value,
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
            "rate": options.rate,
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

    /// The median over the samples of a side that have this figure.
    pub(super) fn median_of(
        &self,
        route: Route,
        connections: u32,
        side: &str,
        value: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<f64> {
        median(self.of(route, connections, side).filter_map(value))
    }

    /// 70 % of the saturation of the slowest of these sides, each at its best number of connections: a rate that all of
    /// them can serve.
    pub(super) fn rate_of_saturation(&self, route: Route, sides: &[&str]) -> Option<u32> {
        let most = |side: &&str| {
            self.cases()
                .into_iter()
                .filter(|(measured, _)| *measured == route)
                .filter_map(|(_, connections)| self.requests_per_second(route, connections, side))
                .max_by(f64::total_cmp)
        };
        let slowest = sides.iter().filter_map(most).min_by(f64::total_cmp)?;
        Some(((slowest * SHARE_OF_SATURATION) as u32).max(1))
    }

    /// The median of a side's 99th percentile.
    pub(super) fn p99_ms(&self, route: Route, side: &str) -> Option<f64> {
        self.latency(route, side, |latency| latency.p99_ms)
    }

    /// Why a side's latency says little about it; `None` if it says something.
    pub(super) fn unclear(&self, route: Route, side: &str) -> Option<&'static str> {
        let samples = self.latencies.iter();
        let samples = samples.filter(|sample| sample.route == route && sample.side == side);
        mostly_unclear(samples.map(|sample| sample.latency.unclear(sample.rate)))
    }

    pub(super) fn json(&self) -> Value {
        let samples: Vec<Value> = self.rows.iter().map(row_json).collect();
        json!({ "about": self.about, "samples": samples, "latencies": self.latencies })
    }

    pub(super) fn of(
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

    pub(super) fn latency(
        &self,
        route: Route,
        side: &str,
        value: fn(&StreamResult) -> f64,
    ) -> Option<f64> {
        let samples = self.latencies.iter();
        let samples = samples.filter(|sample| sample.route == route && sample.side == side);
        median(samples.map(|sample| value(&sample.latency)))
    }

    /// The measured combinations of route and connections, in order.
    pub(super) fn cases(&self) -> Vec<(Route, u32)> {
        let mut cases: Vec<_> = self
            .rows
            .iter()
            .map(|row| (row.route, row.connections))
            .collect();
        cases.dedup();
        cases
    }

    pub(super) fn sides(&self) -> Vec<&str> {
        let mut sides = Vec::new();
        for row in &self.rows {
            if !sides.contains(&row.side.as_str()) {
                sides.push(&row.side);
            }
        }
        sides
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
        "p50_ms": sample.p50_ms,
        "cpu_seconds_per_100k": sample.cpu_seconds_per_100k(),
        "cpu_busy": sample.cpu_busy,
        "mariadb_cpu_seconds_per_100k": sample.mariadb_cpu_seconds_per_100k(),
        "redis_cpu_seconds_per_100k": sample.redis_cpu_seconds_per_100k(),
        "peak_kib": sample.peak_kib,
        "mysql_connections": sample.asked.mysql_connections,
        "mysql_round_trips": sample.asked.mysql_round_trips(),
        "mysql_prepared": sample.asked.mysql_prepared,
        "redis_commands": sample.asked.redis_commands,
    })
}
