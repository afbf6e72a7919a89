//! One stage over time: seven rows above one time axis.

use serde_json::{Map, Value, json};

use super::{axis, chart, layout, line, mark};
use crate::lab::model::{Moment, ROUTE_LABELS, ROUTES, Sample, StageResult, Usage};
use crate::lab::report::document::{Chart, Mark};

/// Of one row, in CSS pixels, and what lies above and below all of them.
const ROW: u32 = 132;
const FRAME: u32 = 70;

/// Between two rows: room for the next one's title.
const GAP: f64 = 0.034;

/// Seconds. Locust's rates are of the last ten; what is divided by requests is too.
const WINDOW: usize = 10;

/// The processes in the order of their colours.
const PROCESSES: [&str; 6] = [
    "host-0",
    "host-1",
    "proxy",
    "mariadbd",
    "redis-server",
    "locust",
];

/// The colours of all processes of the machine together, and of what the two servers did.
const MACHINE: usize = 7;
const STATEMENTS: usize = 3;
const COMMANDS: usize = 4;

const MIB: f64 = 1_048_576.0;

/// A row: its title, its lines, and what is special about its axis.
struct Row {
    title: &'static str,
    lines: Vec<Value>,
    axis: Value,
}

/// Users, throughput, latency, failures, processors, memory and the servers' work.
pub(in crate::lab::report) fn over_time(result: &StageResult, processors: usize) -> Chart {
    let rows = rows(result, processors);
    let count = rows.len();
    let mut data = Vec::new();
    let mut annotations = Vec::new();
    let mut settings = Map::new();
    for (index, row) in rows.into_iter().enumerate() {
        let domain = domain(index, count);
        let name = axis_name(index);
        for mut line in row.lines {
            line["yaxis"] = json!(name);
            data.push(line);
        }
        let mut own = axis("", row.axis);
        own["domain"] = json!(domain);
        own["nticks"] = json!(4);
        settings.insert(name.replace('y', "yaxis"), own);
        annotations.push(title(row.title, domain[1]));
    }
    let time = json!({"anchor": axis_name(count - 1), "rangemode": "tozero"});
    settings.insert("xaxis".into(), axis("seconds since the load began", time));
    settings.insert("annotations".into(), Value::Array(annotations));
    settings.insert("hovermode".into(), json!("x"));
    settings.insert("margin".into(), json!({"l": 40, "r": 24, "t": 26, "b": 44}));
    let caption = format!(
        "{} over time: users, throughput, latency and failures as Locust saw them (averages of ten seconds), and what the machine did meanwhile.",
        result.stage.title()
    );
    let id = format!("time-{}", result.stage.name());
    let height = FRAME + ROW * u32::try_from(count).unwrap_or(7);
    let mut chart = chart(&id, &caption, height, data, layout(Value::Object(settings)));
    chart.legend = legend(result);
    chart
}

fn rows(result: &StageResult, processors: usize) -> Vec<Row> {
    let from_zero = || json!({"rangemode": "tozero", "tickformat": ","});
    let row = |title, lines, axis| Row { title, lines, axis };
    let mut rows = vec![
        row("users", vec![users(result)], from_zero()),
        row(
            "requests per second",
            by_route(result, "/s", |moment| Some(moment.requests_per_second)),
            from_zero(),
        ),
        row(
            "95th percentile, ms",
            by_route(result, " ms", |moment| moment.p95_ms),
            from_zero(),
        ),
        row(
            "failures per second",
            by_route(result, "/s", |moment| Some(moment.failures_per_second)),
            failures_axis(result),
        ),
    ];
    let busy = json!({"range": [0, processors.max(1) as f64 * 1.05]});
    rows.push(row("processors busy", processors_busy(result), busy));
    let memory = by_process(result, " MiB", |usage| usage.memory_bytes as f64 / MIB);
    rows.push(row("memory, MiB", memory, from_zero()));
    if result.counters.is_some() {
        let scale = json!({"type": "log", "tickformat": ",~r"});
        rows.push(row(
            "per request: statements, Redis commands",
            work(result),
            scale,
        ));
    }
    rows
}

/// An axis of its own even where nothing failed.
fn failures_axis(result: &StageResult) -> Value {
    if result.load.total.failures == 0 {
        json!({"range": [0, 1]})
    } else {
        json!({"rangemode": "tozero"})
    }
}

fn users(result: &StageResult) -> Value {
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

fn by_route(result: &StageResult, unit: &str, of: impl Fn(&Moment) -> Option<f64>) -> Vec<Value> {
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

fn processors_busy(result: &StageResult) -> Vec<Value> {
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

fn work(result: &StageResult) -> Vec<Value> {
    let statements = per_request(result, |sample| sample.statements);
    let commands = per_request(result, |sample| sample.redis_commands);
    vec![
        trace("statements", "", STATEMENTS, &statements),
        trace("Redis commands", "", COMMANDS, &commands),
    ]
}

/// What was counted in the last ten seconds, divided by the requests answered in them.
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
        // A logarithmic axis has no place for nothing.
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

fn title(text: &str, top: f64) -> Value {
    json!({
        "text": format!("<b>{text}</b>"),
        "xref": "paper", "yref": "paper",
        "x": 0, "xanchor": "left", "y": top, "yanchor": "bottom",
        "showarrow": false, "font": {"size": 12, "color": "@ink"},
    })
}

fn legend(result: &StageResult) -> Vec<(&'static str, Vec<Mark>)> {
    let routes = ROUTE_LABELS.iter().enumerate();
    let mut legend = vec![(
        "routes",
        routes.map(|(index, label)| mark(index, label)).collect(),
    )];
    let seen = |name: &str| {
        let mut usages = result.samples.iter().flat_map(|sample| &sample.processes);
        usages.any(|usage| usage.name == name)
    };
    let processes = PROCESSES.iter().enumerate().filter(|(_, name)| seen(name));
    let mut marks: Vec<Mark> = processes.map(|(index, name)| mark(index, name)).collect();
    marks.push(mark(MACHINE, "whole machine"));
    legend.push(("processors, memory", marks));
    if result.counters.is_some() {
        let marks = vec![
            mark(STATEMENTS, "statements"),
            mark(COMMANDS, "Redis commands"),
        ];
        legend.push(("per request", marks));
    }
    legend
}

fn axis_name(index: usize) -> String {
    match index {
        0 => "y".into(),
        later => format!("y{}", later + 1),
    }
}

fn domain(index: usize, count: usize) -> [f64; 2] {
    let height = (1.0 - GAP * (count - 1) as f64) / count as f64;
    let top = 1.0 - index as f64 * (height + GAP);
    [(top - height).max(0.0), top]
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::lab::stage::Stage;
    use crate::lab::testing::result;

    #[test]
    fn rows_share_the_height_and_do_not_overlap() {
        let domains: Vec<[f64; 2]> = (0..7).map(|index| domain(index, 7)).collect();
        assert!((domains[0][1] - 1.0).abs() < 1e-9);
        assert!(domains[6][0].abs() < 1e-9);
        assert!(domains.windows(2).all(|two| two[0][0] > two[1][1]));
    }

    #[test]
    fn every_line_belongs_to_a_row() {
        let chart = over_time(&result(Stage::Cached), 2);
        let traces = chart.data.as_array().expect("a list");
        let rows: BTreeSet<&str> = traces
            .iter()
            .filter_map(|trace| trace["yaxis"].as_str())
            .collect();
        assert_eq!(rows.len(), 7);
        assert_eq!(
            chart.layout["annotations"].as_array().map(Vec::len),
            Some(7)
        );
    }
}
