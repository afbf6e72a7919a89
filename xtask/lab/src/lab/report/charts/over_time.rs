//! A stage over time: seven rows of lines above one time axis.

mod lines;

use serde_json::{Map, Value, json};

use self::lines::{COMMANDS, MACHINE, PROCESSES, STATEMENTS};
use super::{axis, chart, layout, mark};
use crate::lab::model::{ROUTE_LABELS, StageResult};
use crate::lab::report::document::{Chart, Mark};

/// The height of one row, and the height above and below all rows, in CSS pixels.
const ROW: u32 = 132;
const FRAME: u32 = 70;

/// The gap between two rows, as a share of the height. It contains the next row's title.
const GAP: f64 = 0.034;

/// A row: its title, its lines, and the special settings of its axis.
struct Row {
    title: &'static str,
    lines: Vec<Value>,
    axis: Value,
}

/// A chart of users, requests/s, latency, failures, processors, memory and the servers' work.
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
        "{} over time: users, requests/s, latency and failures as Locust saw them (averages of ten seconds), and what the machine did meanwhile.",
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
        row("users", vec![lines::users(result)], from_zero()),
        row(
            "requests/s",
            lines::by_route(result, "/s", |moment| Some(moment.requests_per_second)),
            from_zero(),
        ),
        row(
            "latency, p95, ms",
            lines::by_route(result, " ms", |moment| moment.p95_ms),
            from_zero(),
        ),
        row(
            "failures/s",
            lines::by_route(result, "/s", |moment| Some(moment.failures_per_second)),
            failures_axis(result),
        ),
    ];
    let busy = json!({"range": [0, processors.max(1) as f64 * 1.05]});
    rows.push(row("processors busy", lines::processors_busy(result), busy));
    rows.push(row("memory, MiB", lines::memory(result), from_zero()));
    if result.counters.is_some() {
        let scale = json!({"type": "log", "tickformat": ",~r"});
        rows.push(row(
            "per request: statements, Redis commands",
            lines::work(result),
            scale,
        ));
    }
    rows
}

/// The axis of failures. It reaches above zero even if nothing failed.
fn failures_axis(result: &StageResult) -> Value {
    if result.load.total.failures == 0 {
        json!({"range": [0, 1]})
    } else {
        json!({"rangemode": "tozero"})
    }
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
