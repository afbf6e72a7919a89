//! Charts that compare all stages.

use serde_json::{Value, json};

use super::{DASHES, SYMBOLS, axis, chart, colour, layout, line, log_axis, mark, point};
use crate::lab::model::{ROUTE_LABELS, ROUTES, Route, StageResult};
use crate::lab::report::document::Chart;
use crate::lab::report::numbers::{count, number};

/// The height of one stage's row, and the height above and below all rows, in CSS pixels.
const ROW: u32 = 44;
const FRAME: u32 = 80;

/// The smallest time shown: Locust's resolution is 1 ms, and a logarithmic axis can't show 0.
const LEAST_MS: f64 = 0.5;

/// The highest rate that each stage can serve.
pub(in crate::lab::report) fn highest_rates(
    stages: &[StageResult],
    id: &str,
    caption: &str,
) -> Option<Chart> {
    let found: Vec<(&str, u32)> = stages
        .iter()
        .filter(|result| result.saturation.is_some())
        .map(|result| (result.stage.short(), result.highest_rate().unwrap_or(0)))
        .collect();
    let most = found.iter().map(|(_, rate)| *rate).max()?;
    let texts = found.iter().map(|(_, rate)| match rate {
        0 => " none".to_owned(),
        rate => format!(" {}/s", count(u64::from(*rate))),
    });
    let texts: Vec<String> = texts.collect();
    let trace = json!({
        "type": "bar",
        "orientation": "h",
        "y": found.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        "x": found.iter().map(|(_, rate)| *rate).collect::<Vec<_>>(),
        "text": texts,
        "textposition": "outside",
        "cliponaxis": false,
        "hovertemplate": "%{y}: %{x:,} requests/s<extra></extra>",
        "marker": {"color": "@c0"},
        "textfont": {"color": "@ink", "size": 13},
    });
    let right = f64::from(most) * 1.22;
    let scale = json!({"range": [0, right], "tickformat": ",", "nticks": 6});
    let layout = layout(json!({
        "xaxis": axis("requests/s", scale),
        "yaxis": stage_axis(),
        "bargap": 0.35,
    }));
    let height = rows(found.len());
    Some(chart(id, caption, height, vec![trace], layout))
}

/// The 95th percentile of each route under the course's load.
pub(in crate::lab::report) fn p95_by_route(stages: &[StageResult]) -> Chart {
    let traces = ROUTES.iter().enumerate().map(|(index, name)| {
        let points = points(stages, |result| result.load.route(name)?.p95_ms);
        let label = ROUTE_LABELS[index];
        json!({
            "type": "scatter",
            "mode": "lines+markers",
            "name": label,
            "y": points.iter().map(|(stage, _)| *stage).collect::<Vec<_>>(),
            "x": points.iter().map(|(_, ms)| ms.max(LEAST_MS)).collect::<Vec<_>>(),
            "line": {"color": colour(index), "dash": DASHES[index], "width": 1.5},
            "marker": marker(index),
            "hovertemplate": format!("{label}, %{{y}}: %{{x:,.0f}} ms<extra></extra>"),
        })
    });
    let data = traces.collect();
    let layout = layout(json!({
        "xaxis": log_axis("latency, p95, ms (each step is ten times the one before)"),
        "yaxis": stage_axis(),
    }));
    let caption = "Response time of each route under the course's load: 95 of 100 requests were faster. Further left is better.";
    let mut chart = chart("p95", caption, rows(stages.len()), data, layout);
    let marks = ROUTE_LABELS.iter().enumerate();
    chart.legend = vec![(
        "",
        marks.map(|(index, label)| point(index, label)).collect(),
    )];
    chart
}

/// The cost of one request for the two servers.
pub(in crate::lab::report) fn per_request(stages: &[StageResult]) -> Option<Chart> {
    type Cost = fn(&StageResult) -> Option<f64>;
    let costs: [(&str, Cost); 3] = [
        ("statements of MariaDB", StageResult::statements_per_request),
        ("rows that MariaDB read", StageResult::rows_per_request),
        ("commands of Redis", StageResult::redis_per_request),
    ];
    let rows_shown = points(stages, StageResult::statements_per_request).len();
    if rows_shown == 0 {
        return None;
    }
    let traces = costs.iter().enumerate().map(|(index, (name, of))| {
        let mut points = points(stages, of);
        points.retain(|(_, value)| *value > 0.0);
        let texts = points
            .iter()
            .map(|(stage, value)| format!("{name}, {stage}: {}", number(*value)));
        json!({
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "y": points.iter().map(|(stage, _)| *stage).collect::<Vec<_>>(),
            "x": points.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
            "text": texts.collect::<Vec<_>>(),
            "hovertemplate": "%{text}<extra></extra>",
            "marker": marker(index),
        })
    });
    let data = traces.collect();
    let layout = layout(json!({
        "xaxis": log_axis("for one request of the mix"),
        "yaxis": stage_axis(),
    }));
    let caption = "What one request of the mix costs the servers behind: statements and rows of MariaDB, commands of Redis. Further left is cheaper.";
    let mut chart = chart("per-request", caption, rows(rows_shown), data, layout);
    let marks = costs.iter().enumerate();
    chart.legend = vec![(
        "",
        marks.map(|(index, (name, _))| point(index, name)).collect(),
    )];
    Some(chart)
}

/// The share of a route's requests that took no longer than each time; one chart per route.
pub(in crate::lab::report) fn distributions(stages: &[StageResult]) -> Vec<Chart> {
    let charts = ROUTES.iter().enumerate().map(|(index, name)| {
        let traces = stages.iter().filter_map(|result| {
            let route = result.load.route(name)?;
            Some(cumulative(result, route))
        });
        let data = traces.collect();
        let layout = layout(json!({
            "xaxis": log_axis("milliseconds"),
            "yaxis": axis("", json!({"range": [0, 102], "ticksuffix": " %"})),
            "hovermode": "closest",
        }));
        let caption = format!(
            "{name}: how many requests were answered within each time. Further left is better."
        );
        let mut chart = chart(
            &format!("distribution-{index}"),
            &caption,
            320,
            data,
            layout,
        );
        let marks = stages
            .iter()
            .map(|result| mark(result.stage.number(), result.stage.short()));
        chart.legend = vec![("", marks.collect())];
        chart
    });
    charts.collect()
}

fn cumulative(result: &StageResult, route: &Route) -> Value {
    let total: u64 = route.times_ms.iter().map(|(_, count)| count).sum();
    let mut so_far = 0;
    let mut times = Vec::new();
    let mut shares = Vec::new();
    for (ms, count) in &route.times_ms {
        so_far += count;
        times.push(ms.max(LEAST_MS));
        shares.push((so_far as f64 / total.max(1) as f64 * 10_000.0).round() / 100.0);
    }
    let short = result.stage.short();
    json!({
        "type": "scatter",
        "mode": "lines",
        "name": short,
        "x": times,
        "y": shares,
        "line": line(result.stage.number()),
        "hovertemplate": format!("{short}: %{{y:.1f}} % within %{{x:,.0f}} ms<extra></extra>"),
    })
}

/// The points of the stages that have a value.
fn points(
    stages: &[StageResult],
    of: impl Fn(&StageResult) -> Option<f64>,
) -> Vec<(&'static str, f64)> {
    let points = stages
        .iter()
        .filter_map(|result| Some((result.stage.short(), of(result)?)));
    points.collect()
}

/// Markers differ in size, so that points on top of one another are all visible.
fn marker(index: usize) -> Value {
    let size = [12, 16, 8].get(index).copied().unwrap_or(10);
    json!({"color": colour(index), "symbol": SYMBOLS[index], "size": size, "line": {"width": 2, "color": colour(index)}})
}

/// An axis with the first stage on top.
fn stage_axis() -> Value {
    axis(
        "",
        json!({"autorange": "reversed", "type": "category", "fixedrange": true, "ticksuffix": "  "}),
    )
}

fn rows(count: usize) -> u32 {
    FRAME + ROW * u32::try_from(count).unwrap_or(8)
}
