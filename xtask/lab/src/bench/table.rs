//! Prints the samples for people.

use std::fmt;

use super::goals;
use super::report::{LatencySample, Report, Sample};
use super::routes::Route;
use super::sides::{HOST, HOST_SINGLE, NATIVE};
use crate::measure::{Counters, Spread, TextTable, median, spread};

const HEAD: [&str; 15] = [
    "route",
    "connections",
    "",
    "requests/s",
    "lowest–highest",
    "p50 ms",
    "CPU s / 100,000",
    "busy",
    "MariaDB CPU s / 100,000",
    "Redis CPU s / 100,000",
    "peak MiB",
    "MySQL connections / 100",
    "MySQL round trips",
    "prepared",
    "Redis commands",
];

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
        write!(
            f,
            "{}\nLatency at {}, corrected, {} connections:\n\n{}\n{}",
            self.floods().markdown(),
            self.which_rate(),
            self.about["latency_connections"],
            self.latencies().markdown(),
            goals::table(self).markdown()
        )
    }
}

impl Report {
    /// How the rate of the latency measurement was chosen.
    fn which_rate(&self) -> String {
        match self.about["rate"].as_u64() {
            Some(rate) => format!("{rate} requests/s"),
            None => format!(
                "70 % of the most that the slower of {HOST} and {NATIVE} did (of orders, that {HOST_SINGLE} did), or of the \
                 side's own if that was less"
            ),
        }
    }

    fn floods(&self) -> TextTable {
        let mut table = TextTable::new(HEAD);
        for (route, connections) in self.cases() {
            for side in self.sides() {
                if let Some(row) = self.flood(route, connections, side) {
                    table.row(row);
                }
            }
            if let Some(row) = self.ratio(route, connections) {
                table.row(row);
            }
        }
        table
    }

    fn flood(&self, route: Route, connections: u32, side: &str) -> Option<[String; 15]> {
        let samples = self.of(route, connections, side);
        let Spread {
            median: rate,
            lowest,
            highest,
        } = spread(samples.clone().map(|sample| sample.requests_per_second))?;
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
        };
        let asked = |value: fn(&Counters) -> f64| {
            median(samples.clone().map(|s| value(&s.asked) / s.requests))
        };
        let of =
            |value: fn(&Sample) -> Option<f64>| self.median_of(route, connections, side, value);
        let peak = of(|sample| sample.peak_kib.map(|kib| kib as f64));
        Some([
            route.label().to_owned(),
            connections.to_string(),
            side.to_owned(),
            format!("{rate:.0}"),
            format!("{lowest:.0}–{highest:.0}"),
            shown(of(|sample| Some(sample.p50_ms)), 2),
            shown(of(Sample::cpu_seconds_per_100k), 2),
            shown(of(|sample| sample.cpu_busy), 2),
            shown(of(Sample::mariadb_cpu_seconds_per_100k), 2),
            shown(of(Sample::redis_cpu_seconds_per_100k), 2),
            shown(peak.map(|kib| kib / 1024.0), 0),
            shown(asked(|c| c.mysql_connections).map(|n| n * 100.0), 2),
            shown(asked(Counters::mysql_round_trips), 2),
            shown(asked(|c| c.mysql_prepared), 3),
            shown(asked(|c| c.redis_commands), 2),
        ])
    }

    fn ratio(&self, route: Route, connections: u32) -> Option<[String; 15]> {
        let rate = |side| self.requests_per_second(route, connections, side);
        let ratio = |value: fn(&Sample) -> Option<f64>| {
            let of = |side| self.median_of(route, connections, side, value);
            Some(of(HOST)? / of(NATIVE)?)
        };
        let rates = rate(HOST)? / rate(NATIVE)?;
        let cpus = ratio(Sample::cpu_seconds_per_100k)?;
        let mut row = HEAD.map(|_| String::new());
        row[0] = route.label().to_owned();
        row[1] = connections.to_string();
        row[2] = "host / native".to_owned();
        row[3] = format!("{rates:.2}");
        row[6] = format!("{cpus:.2}");
        row[8] = match ratio(Sample::mariadb_cpu_seconds_per_100k) {
            Some(ratio) if route.places_orders() => format!("{ratio:.2}"),
            _ => String::new(),
        };
        Some(row)
    }

    fn latencies(&self) -> TextTable {
        let mut table = TextTable::new([
            "route",
            "requests/s asked",
            "",
            "answered",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
        ]);
        for sample in self.latencies.iter().filter(|sample| sample.round == 1) {
            let LatencySample {
                route, side, rate, ..
            } = sample;
            let of = |value| self.latency(*route, side, value).unwrap_or(f64::NAN);
            table.row([
                route.label().to_owned(),
                rate.to_string(),
                side.clone(),
                format!("{:.0}", of(|latency| latency.requests_per_second)),
                format!("{:.2}", of(|latency| latency.p50_ms)),
                format!("{:.2}", of(|latency| latency.p99_ms)),
                format!("{:.2}", of(|latency| latency.p999_ms)),
            ]);
        }
        table
    }
}
