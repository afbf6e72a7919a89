//! Reads the files that Locust wrote to its folder into a [`Load`].

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::model::{Failure, Load, Moment, Route};
use crate::locust::{Figures, Outcome};

/// The name of the rows that sum up all others.
const TOTAL: &str = "Aggregated";

/// Longer messages are cut: they come from outside, and a message may be a whole page.
const MESSAGE_CHARS: usize = 300;

/// Converts the outcome of a run, and the files in its folder, to a [`Load`].
pub(super) fn read(folder: &Path, outcome: Outcome) -> Result<Load> {
    let mut times = distributions(&folder.join("stats.json"))?;
    let mut all: BTreeMap<u64, u64> = BTreeMap::new();
    for (ms, count) in times.values().flatten() {
        *all.entry(ms.to_bits()).or_default() += count;
    }
    let mut total = route(outcome.total, Vec::new());
    total.times_ms = all
        .into_iter()
        .map(|(bits, count)| (f64::from_bits(bits), count))
        .collect();
    let routes = outcome.routes.into_iter().map(|figures| {
        let times = times.remove(&figures.name).unwrap_or_default();
        route(figures, times)
    });
    let errors = outcome.failures.into_iter().map(|failure| Failure {
        route: failure.name,
        message: bare(&failure.error).chars().take(MESSAGE_CHARS).collect(),
        count: failure.occurrences,
    });
    let (began_at, history) = history(&folder.join("stats_history.csv"))?;
    let mut load = Load {
        total,
        routes: routes.collect(),
        began_at,
        history,
        errors: errors.collect(),
    };
    load.errors
        .sort_by_key(|failure| std::cmp::Reverse(failure.count));
    Ok(load)
}

/// Removes the Python exception around a locustfile's message.
fn bare(message: &str) -> &str {
    let inner = message.strip_prefix("CatchResponseError(");
    let inner = inner.and_then(|rest| rest.strip_suffix(')'));
    inner.map_or(message, |quoted| quoted.trim_matches(['\'', '"']))
}

fn route(figures: Figures, times_ms: Vec<(f64, u64)>) -> Route {
    let answered = figures.requests > 0;
    Route {
        name: figures.name,
        requests: figures.requests,
        failures: figures.failures,
        requests_per_second: figures.requests_per_second,
        p50_ms: answered.then_some(figures.p50_ms),
        p95_ms: answered.then_some(figures.p95_ms),
        p99_ms: answered.then_some(figures.p99_ms),
        times_ms,
    }
}

/// The fields of Locust's own statistics that we read.
#[derive(Deserialize)]
struct Entry {
    name: String,
    /// How often each response time occurred; the keys are milliseconds, as text.
    response_times: BTreeMap<String, u64>,
}

fn distributions(file: &Path) -> Result<BTreeMap<String, Vec<(f64, u64)>>> {
    let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let entries: Vec<Entry> = serde_json::from_slice(&text)
        .with_context(|| format!("understanding {}", file.display()))?;
    let sorted = entries.into_iter().map(|entry| {
        let times = entry.response_times.into_iter();
        let mut times: Vec<(f64, u64)> = times
            .filter_map(|(ms, count)| Some((ms.parse().ok()?, count)))
            .collect();
        times.sort_by(|one, other| one.0.total_cmp(&other.0));
        (entry.name, times)
    });
    Ok(sorted.collect())
}

/// The columns of Locust's history that we read. `N/A` means that there is no value yet.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "Timestamp")]
    timestamp: f64,
    #[serde(rename = "User Count")]
    users: u32,
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Requests/s")]
    requests_per_second: f64,
    #[serde(rename = "Failures/s")]
    failures_per_second: f64,
    #[serde(rename = "50%")]
    p50: String,
    #[serde(rename = "95%")]
    p95: String,
    #[serde(rename = "99%")]
    p99: String,
    #[serde(rename = "Total Request Count")]
    requests: u64,
    #[serde(rename = "Total Failure Count")]
    failures: u64,
}

/// The time of the first line, and a moment for each line.
fn history(file: &Path) -> Result<(f64, Vec<Moment>)> {
    let what = || format!("reading {}", file.display());
    let mut reader = csv::Reader::from_path(file).with_context(what)?;
    let mut began = None;
    let mut moments = Vec::new();
    for line in reader.deserialize() {
        let line: Line = line.with_context(what)?;
        let began: f64 = *began.get_or_insert(line.timestamp);
        moments.push(Moment {
            second: line.timestamp - began,
            users: line.users,
            requests_per_second: line.requests_per_second,
            failures_per_second: line.failures_per_second,
            p50_ms: line.p50.parse().ok(),
            p95_ms: line.p95.parse().ok(),
            p99_ms: line.p99.parse().ok(),
            requests: line.requests,
            failures: line.failures,
            name: if line.name == TOTAL {
                String::new()
            } else {
                line.name
            },
        });
    }
    Ok((began.unwrap_or_default(), moments))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTORY: &str = "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,99%,Total Request Count,Total Failure Count
1700000000,0,,Aggregated,0.000000,0.000000,N/A,N/A,N/A,0,0
1700000002,4,POST,POST /orders,1.5,0.5,12,30,44,3,1
";

    #[test]
    fn the_history_counts_from_its_first_second() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("stats_history.csv");
        fs::write(&file, HISTORY).expect("written");
        let (began, moments) = history(&file).expect("readable");
        assert_eq!(began, 1_700_000_000.0);
        assert_eq!(moments.len(), 2);
        assert_eq!((moments[0].name.as_str(), moments[0].p95_ms), ("", None));
        let second = &moments[1];
        assert_eq!((second.second, second.users, second.failures), (2.0, 4, 1));
        assert_eq!((second.p50_ms, second.p95_ms), (Some(12.0), Some(30.0)));
    }

    #[test]
    fn a_message_is_freed_of_its_exception() {
        assert_eq!(bare("CatchResponseError('503: down')"), "503: down");
        assert_eq!(
            bare("ConnectionRefusedError(111)"),
            "ConnectionRefusedError(111)"
        );
    }

    #[test]
    fn times_are_read_as_numbers_and_sorted() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("stats.json");
        let text = r#"[{"name": "POST /orders", "response_times": {"110": 2, "9": 5}}]"#;
        fs::write(&file, text).expect("written");
        let times = distributions(&file).expect("readable");
        assert_eq!(times["POST /orders"], [(9.0, 5), (110.0, 2)]);
    }
}
