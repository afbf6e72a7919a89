//! The stages: first a comparison of all, then each by itself.

use super::charts;
use super::document::{Block, Cell, ReportTable, Section};
use super::numbers::{
    NOISE, UNKNOWN, compare_rates, compare_times, count, maybe_ms, number, per_second, percent,
    share,
};
use crate::lab::model::{ROUTE_LABELS, ROUTES, Route, StageResult, Step};
use crate::lab::stage::Stage;

/// A table with a row for each stage, and the cost of a request.
pub(super) fn comparison(stages: &[StageResult]) -> Section {
    let mut section = Section::new("stages", "All stages");
    let mut table = ReportTable::new(
        "",
        &[
            "stage",
            "requests",
            "failed",
            "orders p95",
            "spenders p95",
            "sellers p95",
            "highest rate",
            "statements per request",
            "per order",
        ],
    );
    for result in stages {
        let total = &result.load.total;
        let p95 = |name| maybe_ms(result.load.route(name).and_then(|route| route.p95_ms));
        let maybe = |value: Option<f64>| value.map_or_else(|| UNKNOWN.into(), number);
        table.row([
            result.stage.short().to_owned(),
            count(total.requests),
            percent(share(total.failures, total.requests)),
            p95(ROUTES[0]),
            p95(ROUTES[1]),
            p95(ROUTES[2]),
            highest(result),
            maybe(result.statements_per_request()),
            maybe(result.statements_per_order()),
        ]);
    }
    section.table(table);
    section.table(side_by_side(stages));
    section
        .blocks
        .extend(charts::per_request(stages).map(Block::Chart));
    section.note("Statements, rows and commands are those of the servers, for everything that ran: the refresh of the reports and health checks are in them.");
    section
}

/// A table with a column for each stage, the reference first.
fn side_by_side(stages: &[StageResult]) -> ReportTable {
    let head = stages.iter().map(|result| result.stage.short());
    let head: Vec<&str> = std::iter::once("").chain(head).collect();
    let mut table = ReportTable::new("Each route under the course's load", &head);
    type Figure = fn(&Route) -> String;
    let figures: [(&str, Figure); 5] = [
        ("rate", |route| per_second(route.requests_per_second)),
        ("failed", |route| {
            percent(share(route.failures, route.requests))
        }),
        ("p50", |route| maybe_ms(route.p50_ms)),
        ("p95", |route| maybe_ms(route.p95_ms)),
        ("p99", |route| maybe_ms(route.p99_ms)),
    ];
    for (name, label) in ROUTES.into_iter().zip(ROUTE_LABELS).chain([("", "all")]) {
        for (figure, of) in figures {
            let values = stages
                .iter()
                .map(|result| find(result, name).map_or_else(|| UNKNOWN.into(), of));
            table.row(std::iter::once(format!("{label}, {figure}")).chain(values));
        }
    }
    table
}

/// A section for each stage.
pub(super) fn sections(stages: &[StageResult], processors: usize) -> Vec<Section> {
    let own = |result: &&StageResult| result.stage != Stage::Reference;
    let first = stages.iter().find(own);
    let mut before: Option<&StageResult> = None;
    let mut sections = Vec::new();
    for result in stages {
        let first = first.filter(|first| first.stage != result.stage);
        sections.push(section(result, before, first, processors));
        if own(&result) {
            before = Some(result);
        }
    }
    sections
}

fn section(
    result: &StageResult,
    before: Option<&StageResult>,
    first: Option<&StageResult>,
    processors: usize,
) -> Section {
    let stage = result.stage;
    let title = match stage {
        Stage::Reference => stage.title().to_owned(),
        _ => format!("{}. {}", stage.number(), stage.title()),
    };
    let mut section = Section::new(stage.name(), title);
    section.text(stage.description());
    section.note(switched_by(result));
    section.table(routes(result, before, first));
    if before.is_some() || first.is_some() {
        section.note(format!(
            "✓ better, ✗ worse, ≈ less than {:.0} % apart, which two runs of the same thing differ by as well.",
            NOISE * 100.0
        ));
    }
    let chart = charts::over_time(result, processors);
    section.blocks.push(Block::Chart(chart));
    section.table(usage(result));
    if let Some(saturation) = &result.saturation {
        section.table(search(&saturation.steps));
    }
    section
}

/// What distinguishes a stage, for a reader who wants to repeat it.
pub(super) fn switched_by(result: &StageResult) -> String {
    if let Some(url) = &result.url {
        return format!(
            "At {url}; its processes, its statements and its data are not ours to look at."
        );
    }
    let stage = result.stage;
    let variables = stage.variables();
    let variables = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let mut text = variables.collect::<Vec<_>>().join(", ");
    match stage.policy() {
        Some(policy) => text += &format!("; {} hosts behind the proxy, {policy}", stage.hosts()),
        None => text += "; one host, no proxy",
    }
    if stage.caches_in_proxy() {
        text += ", cache on";
    }
    text + "."
}

/// A table of each route and the total, compared with the previous stage and with the first.
fn routes(
    result: &StageResult,
    before: Option<&StageResult>,
    first: Option<&StageResult>,
) -> ReportTable {
    let mut table = ReportTable::new(
        "The course's load",
        &["route", "requests", "rate", "failed", "p50", "p95", "p99"],
    );
    // The previous stage may be the first.
    let first = first.filter(|first| before.is_none_or(|before| before.stage != first.stage));
    let others: Vec<(String, &StageResult)> = [before, first]
        .into_iter()
        .flatten()
        .map(|other| (format!("vs {}", other.stage.number()), other))
        .collect();
    type Figure = fn(&Route) -> Option<f64>;
    let rate: Figure = |route| Some(route.requests_per_second);
    let times: [Figure; 3] = [|it| it.p50_ms, |it| it.p95_ms, |it| it.p99_ms];
    for (name, shown) in ROUTES.into_iter().zip(ROUTE_LABELS).chain([("", "all")]) {
        let Some(route) = find(result, name) else {
            continue;
        };
        let mut row = vec![
            Cell::new(shown),
            Cell::new(count(route.requests)),
            compared(route, &others, name, rate, Compare::Rates),
            Cell::new(percent(share(route.failures, route.requests))),
        ];
        for time in times {
            row.push(compared(route, &others, name, time, Compare::Times));
        }
        table.rows.push(row);
    }
    table
}

#[derive(Clone, Copy)]
enum Compare {
    Rates,
    Times,
}

fn compared(
    route: &Route,
    others: &[(String, &StageResult)],
    name: &str,
    of: fn(&Route) -> Option<f64>,
    how: Compare,
) -> Cell {
    let here = of(route);
    let mut cell = match how {
        Compare::Rates => Cell::new(here.map_or_else(|| UNKNOWN.into(), per_second)),
        Compare::Times => Cell::new(maybe_ms(here)),
    };
    for (label, other) in others {
        let there = find(other, name).and_then(of);
        cell = cell.with(match how {
            Compare::Rates => compare_rates(label, there, here),
            Compare::Times => compare_times(label, there, here),
        });
    }
    cell
}

/// The resources that the processes used; unknown for the reference.
pub(super) fn usage(result: &StageResult) -> ReportTable {
    let mut table = ReportTable::new(
        "Processors and memory during the course's load",
        &["process", "processors, mean", "memory at most"],
    );
    for (name, cpu) in result.mean_cpu() {
        let usages = result.samples.iter().flat_map(|sample| &sample.processes);
        let most = usages
            .filter(|usage| usage.name == name)
            .map(|usage| usage.memory_bytes)
            .max();
        let mib = most.unwrap_or(0) as f64 / 1_048_576.0;
        table.row([name, number(cpu), format!("{mib:.0} MiB")]);
    }
    table
}

pub(super) fn search(steps: &[Step]) -> ReportTable {
    let mut table = ReportTable::new(
        "The search for the highest rate",
        &[
            "asked for",
            "answered",
            "p99",
            "processors busy",
            "good enough?",
        ],
    );
    for step in steps {
        let busy = step
            .cpu
            .get("machine")
            .map_or_else(|| UNKNOWN.into(), |busy| number(*busy));
        table.row([
            format!("{}/s", count(step.rate.into())),
            per_second(step.answered_per_second),
            maybe_ms((step.p99_ms > 0.0).then_some(step.p99_ms)),
            busy,
            step.refused
                .clone()
                .map_or_else(|| "yes".into(), |reason| format!("no: {reason}")),
        ]);
    }
    table
}

fn highest(result: &StageResult) -> String {
    match (&result.saturation, result.highest_rate()) {
        (None, _) => UNKNOWN.into(),
        (_, Some(rate)) => format!("{}/s", count(rate.into())),
        (_, None) => "none".into(),
    }
}

fn find<'a>(result: &'a StageResult, name: &str) -> Option<&'a Route> {
    if name.is_empty() {
        Some(&result.load.total)
    } else {
        result.load.route(name)
    }
}
