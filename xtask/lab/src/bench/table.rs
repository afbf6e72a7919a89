//! What was measured, for people.

use std::fmt;

use super::counters::Counters;
use super::goals;
use super::report::{LatencySample, Report, Sample};
use super::routes::Route;
use super::sides::{HOST, NATIVE};
use crate::measure::{Spread, median, spread};

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

impl Report {
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
            "| route | requests/s asked | | answered | p50 ms | p99 ms | p99.9 ms |\n|---|---|---|---|---|---|---|"
        )?;
        for sample in self.latencies.iter().filter(|sample| sample.round == 0) {
            let LatencySample {
                route, side, rate, ..
            } = sample;
            let of = |value| self.latency(*route, side, value).unwrap_or(f64::NAN);
            writeln!(
                f,
                "| {} | {rate} | {side} | {:.0} | {:.2} | {:.2} | {:.2} |",
                route.label(),
                of(|latency| latency.requests_per_second),
                of(|latency| latency.p50_ms),
                of(|latency| latency.p99_ms),
                of(|latency| latency.p999_ms),
            )?;
        }
        Ok(())
    }
}
