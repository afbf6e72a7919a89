//! A chart of the time that each statement of an order takes.

use serde_json::{Value, json};

use super::{axis, chart, colour, layout, mark};
use crate::lab::model::OrderCost;
use crate::lab::report::document::{Chart, Mark};
use crate::lab::report::numbers::number;

/// The most rows. The last row sums up the statements that take least time.
const ROWS: usize = 11;

/// The heights of one bar, of the gap between two statements, and of the space above and below all bars, in CSS pixels.
const BAR: u32 = 17;
const SPACE: u32 = 12;
const FRAME: u32 = 80;

/// The hatching of each cost's bars in plotly, and its name in a legend.
const HATCHES: [(&str, &str); 4] = [
    ("", "bar"),
    ("/", "bar-hatched"),
    ("x", "bar-crossed"),
    ("-", "bar-striped"),
];

/// A group of bars for each statement, longest on top; in each group, a bar for each cost.
pub(in crate::lab::report) fn by_statement(
    id: &str,
    caption: &str,
    costs: &[(&str, &OrderCost)],
) -> Chart {
    let names = names(costs);
    let bars = costs.iter().enumerate().map(|(index, (label, cost))| {
        let times = times(cost, &names);
        bars(index, label, &names, &times)
    });
    let data: Vec<Value> = bars.collect();
    let all = costs.iter().flat_map(|(_, cost)| times(cost, &names));
    // Leaves space for the figure of the longest bar.
    let right = all.fold(0.0, f64::max) * 1.25;
    let layout = layout(json!({
        "barmode": "group",
        "bargap": 0.25,
        "xaxis": axis("µs for one order", json!({"range": [0, right], "tickformat": ",", "nticks": 4})),
        "yaxis": axis("", json!({"autorange": "reversed", "type": "category", "fixedrange": true, "ticksuffix": "  "})),
    }));
    let series = u32::try_from(costs.len()).unwrap_or(1);
    let rows = u32::try_from(names.len()).unwrap_or(1);
    let height = FRAME + rows * (series * BAR + SPACE);
    let mut chart = chart(id, caption, height, data, layout);
    let marks = costs.iter().enumerate().map(|(index, (label, _))| Mark {
        line: None,
        symbol: Some(HATCHES[index % HATCHES.len()].1),
        ..mark(index, label)
    });
    chart.legend = vec![("", marks.collect())];
    chart
}

fn bars(index: usize, label: &str, names: &[String], times: &[f64]) -> Value {
    let texts = times.iter().map(|time| format!(" {}", number(*time)));
    json!({
        "type": "bar",
        "orientation": "h",
        "name": label,
        "y": names,
        "x": times,
        "text": texts.collect::<Vec<_>>(),
        "textposition": "outside",
        "cliponaxis": false,
        "hovertemplate": format!("{label}, %{{y}}: %{{x:,.1f}} µs<extra></extra>"),
        "marker": {
            "color": colour(index),
            "line": {"color": colour(index), "width": 1},
            "pattern": {"shape": HATCHES[index % HATCHES.len()].0, "size": 6, "solidity": 0.4},
        },
        "textfont": {"color": "@ink", "size": 11},
    })
}

/// The names of the rows: the statements that take longest in any of the costs, and one row for all others.
fn names(costs: &[(&str, &OrderCost)]) -> Vec<String> {
    let mut times: Vec<(String, f64)> = Vec::new();
    for (_, cost) in costs {
        for statement in &cost.statements {
            let seconds = cost.per_order(statement.seconds);
            match times.iter_mut().find(|(name, _)| *name == statement.name) {
                Some((_, most)) => *most = most.max(seconds),
                None => times.push((statement.name.clone(), seconds)),
            }
        }
    }
    times.sort_by(|one, other| other.1.total_cmp(&one.1));
    let has_others = times.len() > ROWS;
    let names = times.into_iter().take(ROWS).map(|(name, _)| name);
    names.chain(has_others.then(|| OTHERS.to_owned())).collect()
}

const OTHERS: &str = "all others";

/// The time of each row in microseconds per order.
fn times(cost: &OrderCost, names: &[String]) -> Vec<f64> {
    let row = |name: &String| {
        let statements = cost
            .statements
            .iter()
            .filter(|statement| match name.as_str() {
                OTHERS => !names.contains(&statement.name),
                name => statement.name == name,
            });
        let seconds: f64 = statements.map(|statement| statement.seconds).sum();
        (cost.per_order(seconds) * 1e7).round() / 10.0
    };
    names.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::testing::order_cost;
    use crate::measure::Basket;

    #[test]
    fn every_statement_has_a_bar_for_each_cost_and_the_rest_is_summed_up() {
        let single = order_cost(Basket::Course, 100, 14);
        let grouped = order_cost(Basket::Course, 400, 14);
        let chart = by_statement("costs", "", &[("alone", &single), ("together", &grouped)]);
        let traces = chart.data.as_array().expect("a list");
        assert_eq!(traces.len(), 2);
        let rows = traces[0]["y"].as_array().expect("a list");
        assert_eq!(rows.len(), ROWS + 1);
        assert_eq!(rows.last().expect("a row"), OTHERS);
        let sum = |trace: &Value| -> f64 {
            let times = trace["x"].as_array().into_iter().flatten();
            times.filter_map(Value::as_f64).sum()
        };
        // 14 kinds of statements that take 1 to 14 ms in total: divided by 100 orders, and by 400.
        assert_eq!((sum(&traces[0]), sum(&traces[1])), (1050.0, 262.5));
    }
}
