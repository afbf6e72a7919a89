//! The lines of the chart of a stage over time.

use serde_json::{Value, json};

use crate::lab::model::{Moment, ROUTE_LABELS, ROUTES, Sample, StageResult, Usage};
use crate::lab::report::charts::line;

/// The window of the per-request figures, in seconds; Locust's own rates have the same window.
const WINDOW: usize = 10;

/// The processes in the order of their colours.
pub(super) const PROCESSES: [&str; 6] = [
    "host-0",
    "host-1",
    "proxy",
    "mariadbd",
    "redis-server",
    "locust",
];

/// The colours of the whole machine's processors, and of the work of the two servers.
pub(super) const MACHINE: usize = 7;
pub(super) const STATEMENTS: usize = 3;
pub(super) const COMMANDS: usize = 4;

const MIB: f64 = 1_048_576.0;

pub(super) fn users(result: &StageResult) -> Value {
    let moments = result.load.moments("");
    let points: Vec<(f64, f64)> = moments
        .map(|moment| (moment.second, f64::from(moment.users)))
        .collect();
    let mut trace = trace("users", "", 6, &points);
    trace["fill"] = json!("tozeroy");
    trace["fillcolor"] = json!("@c7/0.18");
    trace["line"]["dash"] = json!("solid");
    trace
}

/// A line for each route.
pub(super) fn by_route(
    result: &StageResult,
    unit: &str,
    of: impl Fn(&Moment) -> Option<f64>,
) -> Vec<Value> {
    let routes = ROUTES.iter().enumerate();
    routes
        .map(|(index, name)| {
            let moments = result.load.moments(name);
            let points = moments.filter_map(|moment| Some((moment.second, of(moment)?)));
            trace(
                ROUTE_LABELS[index],
                unit,
                index,
                &points.collect::<Vec<_>>(),
            )
        })
        .collect()
}

fn by_process(result: &StageResult, unit: &str, of: impl Fn(&Usage) -> f64) -> Vec<Value> {
    let mut lines = Vec::new();
    for (index, name) in PROCESSES.iter().enumerate() {
        let points = result.samples.iter().filter_map(|sample| {
            let usage = sample.processes.iter().find(|usage| usage.name == *name)?;
            Some((sample.second, of(usage)))
        });
        let points: Vec<(f64, f64)> = points.collect();
        if !points.is_empty() {
            lines.push(trace(name, unit, index, &points));
        }
    }
    lines
}

/// The busy processors of the whole machine, and of each process.
pub(super) fn processors_busy(result: &StageResult) -> Vec<Value> {
    let machine = result
        .samples
        .iter()
        .map(|sample| (sample.second, sample.machine_busy));
    let mut lines = vec![trace(
        "whole machine",
        "",
        MACHINE,
        &machine.collect::<Vec<_>>(),
    )];
    lines.extend(by_process(result, "", |usage| usage.cpu));
    lines
}

pub(super) fn memory(result: &StageResult) -> Vec<Value> {
    by_process(result, " MiB", |usage| usage.memory_bytes as f64 / MIB)
}

/// The work of the two servers per request.
pub(super) fn work(result: &StageResult) -> Vec<Value> {
    let statements = per_request(result, |sample| sample.statements);
    let commands = per_request(result, |sample| sample.redis_commands);
    vec![
        trace("statements", "", STATEMENTS, &statements),
        trace("Redis commands", "", COMMANDS, &commands),
    ]
}

/// The sum over the last ten seconds, divided by the requests that were answered in them.
fn per_request(result: &StageResult, of: impl Fn(&Sample) -> Option<u64>) -> Vec<(f64, f64)> {
    let moments: Vec<&Moment> = result.load.moments("").collect();
    let answered = |second: f64| {
        let before = moments.iter().rev().find(|moment| moment.second <= second);
        before.map_or(0, |moment| moment.requests)
    };
    let windows = result
        .samples
        .windows(WINDOW.min(result.samples.len().max(1)));
    let points = windows.filter_map(|window| {
        let (first, last) = (window.first()?, window.last()?);
        let requests = answered(last.second).saturating_sub(answered(first.second - 1.0));
        let counted: u64 = window.iter().filter_map(&of).sum();
        // A logarithmic axis can't show zero.
        (requests > 0 && counted > 0).then(|| (last.second, counted as f64 / requests as f64))
    });
    points.collect()
}

fn trace(name: &str, unit: &str, index: usize, points: &[(f64, f64)]) -> Value {
    json!({
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": points.iter().map(|(x, _)| rounded(*x, 10.0)).collect::<Vec<_>>(),
        "y": points.iter().map(|(_, y)| rounded(*y, 1000.0)).collect::<Vec<_>>(),
        "line": line(index),
        "hovertemplate": format!("{name}: %{{y:,.3~f}}{unit}<extra></extra>"),
    })
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
