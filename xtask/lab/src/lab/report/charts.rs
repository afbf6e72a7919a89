//! The charts, as traces and layouts for plotly.js.
//!
//! Colours are names; the page's style gives each a value for the light and the dark theme: `@c0` to `@c8`, after Okabe
//! and Ito, and `@ink`, `@muted`, `@grid`, `@paper`. The font is a name too, `@type`. Lines don't differ by colour
//! alone: each has its own dash or marker too.

mod over_time;
mod stages;
mod statements;

use serde_json::{Value, json};

pub(super) use self::over_time::over_time;
pub(super) use self::stages::{distributions, highest_rates, p95_by_route, per_request};
pub(super) use self::statements::by_statement;
use super::document::{Chart, Mark};

/// A dash for each colour.
const DASHES: [&str; 9] = [
    "solid",
    "dash",
    "dot",
    "dashdot",
    "longdash",
    "longdashdot",
    "4px,2px",
    "8px,2px,2px,2px",
    "12px,2px,2px,2px",
];

/// A marker for each colour.
const SYMBOLS: [&str; 9] = [
    "circle",
    "diamond-open",
    "square",
    "triangle-up",
    "x",
    "star",
    "hexagon",
    "cross",
    "pentagon",
];

fn line(index: usize) -> Value {
    json!({"color": colour(index), "dash": DASHES[index % DASHES.len()], "width": 2})
}

fn colour(index: usize) -> String {
    format!("@c{}", index % DASHES.len())
}

/// The entry of the legend for line `index`.
fn mark(index: usize, label: &str) -> Mark {
    Mark {
        colour: index % DASHES.len(),
        line: Some(DASHES[index % DASHES.len()]),
        symbol: None,
        label: label.to_owned(),
    }
}

/// The entry of the legend for the points that line `index` has.
fn point(index: usize, label: &str) -> Mark {
    Mark {
        line: None,
        symbol: Some(SYMBOLS[index % SYMBOLS.len()]),
        ..mark(index, label)
    }
}

/// The settings that all layouts share.
fn layout(extra: Value) -> Value {
    let shared = json!({
        "paper_bgcolor": "@clear",
        "plot_bgcolor": "@clear",
        "font": {"color": "@ink", "size": 12, "family": "@type"},
        "hoverlabel": {"bgcolor": "@paper", "bordercolor": "@grid", "font": {"color": "@ink"}},
        "margin": {"l": 40, "r": 24, "t": 12, "b": 48},
        "showlegend": false,
    });
    extended(shared, extra)
}

fn axis(title: &str, extra: Value) -> Value {
    let shared = json!({
        "title": {"text": title, "font": {"size": 12, "color": "@muted"}},
        "gridcolor": "@grid",
        "linecolor": "@grid",
        "zeroline": false,
        "automargin": true,
        "fixedrange": false,
    });
    extended(shared, extra)
}

fn extended(mut settings: Value, extra: Value) -> Value {
    if let (Value::Object(settings), Value::Object(extra)) = (&mut settings, extra) {
        settings.extend(extra);
    }
    settings
}

/// An axis with powers of ten only, so that a phone has room for the labels.
fn log_axis(title: &str) -> Value {
    axis(
        title,
        json!({"type": "log", "dtick": 1, "tickformat": ",~r", "minor": {"ticks": "inside", "dtick": "D1", "tickcolor": "@grid"}}),
    )
}

fn chart(id: &str, caption: &str, height: u32, data: Vec<Value>, layout: Value) -> Chart {
    Chart {
        id: id.to_owned(),
        caption: caption.to_owned(),
        height,
        legend: Vec::new(),
        data: Value::Array(data),
        layout,
    }
}
