//! The cost of an order for MariaDB, as a table; `charts` has it as a chart.

use super::document::ReportTable;
use super::numbers::{UNKNOWN, count, number, percent};
use crate::lab::model::{OrderCost, StageResult};
use crate::lab::stage::Stage;
use crate::measure::Basket;

/// The note under every chart of order costs.
pub(super) const NOTE: &str = "Counted in a short run of its own, in which MariaDB writes each statement to a log: that slows it, so compare these figures with one another only. What a group costs is divided among its orders.";

/// The cost of an order in one stage, with its name for readers.
pub(super) type NamedCost<'a> = (&'a str, &'a OrderCost);

/// The cost of this kind of order in a stage, if it was measured.
pub(super) fn of(stages: &[StageResult], stage: Stage, basket: Basket) -> Option<&OrderCost> {
    let result = stages.iter().find(|result| result.stage == stage)?;
    result.order_costs.iter().find(|cost| cost.basket == basket)
}

/// A table of the costs of one order; one column for each cost.
pub(super) fn table(caption: &str, costs: &[NamedCost<'_>]) -> ReportTable {
    let head: Vec<&str> = std::iter::once("for one order")
        .chain(costs.iter().map(|(name, _)| *name))
        .collect();
    let mut table = ReportTable::new(caption, &head);
    type Figure = fn(&OrderCost) -> String;
    let rows: [(&str, Figure); 9] = [
        ("round trips to MariaDB", |cost| {
            number(cost.per_order(cost.round_trips))
        }),
        ("commits", |cost| number(cost.per_order(cost.commits()))),
        ("orders that share a commit", |cost| match cost.commits() {
            0.0 => UNKNOWN.into(),
            commits => number(cost.orders as f64 / commits),
        }),
        ("time of its statements", |cost| {
            microseconds(cost.per_order(cost.seconds()))
        }),
        ("of that, waits for locked rows", |cost| {
            microseconds(cost.per_order(cost.lock_wait_ms / 1000.0))
        }),
        ("MariaDB's processor", |cost| {
            microseconds(cost.per_order(cost.cpu_seconds))
        }),
        ("from asking to the answer, mean", |cost| {
            microseconds(cost.mean_ms / 1000.0)
        }),
        ("orders that were placed", |cost| count(cost.orders)),
        ("by so many clients", |cost| count(cost.clients as u64)),
    ];
    for (name, of) in rows {
        let cells = costs.iter().map(|(_, cost)| of(cost));
        table.row(std::iter::once(name.to_owned()).chain(cells));
    }
    if costs.iter().any(|(_, cost)| cost.failed > 0) {
        let failed = costs
            .iter()
            .map(|(_, cost)| percent(cost.failed as f64 / (cost.failed + cost.orders) as f64));
        table.row(std::iter::once("orders that failed".to_owned()).chain(failed));
    }
    table
}

/// `123 µs`
pub(super) fn microseconds(seconds: f64) -> String {
    format!("{} µs", number(seconds * 1e6))
}
