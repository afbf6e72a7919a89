//! The flash sale: one load, measured with orders that commit alone and with orders that commit together.

use super::charts;
use super::document::{Block, Cell, ReportTable, Section};
use super::numbers::{compare_rates, compare_times, count, maybe_ms, number, percent, share};
use super::order_cost;
use super::stage;
use crate::lab::model::{ROUTES, Route, StageResult};
use crate::lab::stage::Stage;
use crate::measure::Basket;

/// The section about the flash sale; `None` unless both were measured.
pub(super) fn section(stages: &[StageResult], processors: usize) -> Option<Section> {
    let [alone, together] = both(stages)?;
    let mut section = Section::new("flash-sale", "9. A flash sale");
    section.text("Everybody buys one product: the course's users place orders of one piece of it and ask for nothing else, and so does the search for the highest rate. All orders change the same row of stock and the same total, so that one has to wait for the other's commit. Servers and settings are those of stage 8, once with order_commit=single and once with order_commit=grouped.");
    let rates = charts::highest_rates(
        stages,
        "flash-sale-rates",
        "Highest rate of orders of one product whose 99th percentile stays under 100 ms, with no failure. Longer is better.",
    );
    section.blocks.extend(rates.map(Block::Chart));
    section.table(side_by_side(alone, together));
    let costs = Stage::FLASH_SALE.map(|stage| order_cost::of(stages, stage, Basket::FlashSale));
    if let [Some(single), Some(grouped)] = costs {
        let costs = [("each alone", single), ("together", grouped)];
        let caption = "Where the time of an order of the one product goes in MariaDB, statement by statement. Shorter is better.";
        section.blocks.push(Block::Chart(charts::by_statement(
            "cost-flash-sale",
            caption,
            &costs,
        )));
        section.table(order_cost::table("An order at the flash sale", &costs));
        section.note(order_cost::NOTE);
    }
    for result in [alone, together] {
        section.heading(result.stage.title());
        section.note(stage::switched_by(result));
        let chart = charts::over_time(result, processors);
        section.blocks.push(Block::Chart(chart));
        section.table(stage::usage(result));
        if let Some(saturation) = &result.saturation {
            section.table(stage::search(&saturation.steps));
        }
    }
    Some(section)
}

/// The two results, alone and together, if both were measured.
pub(super) fn both(stages: &[StageResult]) -> Option<[&StageResult; 2]> {
    let of = |wanted| stages.iter().find(|result| result.stage == wanted);
    let [alone, together] = Stage::FLASH_SALE.map(of);
    Some([alone?, together?])
}

fn side_by_side(alone: &StageResult, together: &StageResult) -> ReportTable {
    let mut table = ReportTable::new("", &["POST /orders", "each alone", "together"]);
    let rates = [alone, together].map(|result| result.highest_rate().map(f64::from));
    let shown = rates
        .map(|rate| rate.map_or_else(|| "none".into(), |rate| format!("{}/s", count(rate as u64))));
    if alone.saturation.is_some() && together.saturation.is_some() {
        let note = compare_rates("change", rates[0], rates[1]);
        let [from, to] = shown.map(Cell::new);
        table
            .rows
            .push(vec![Cell::new("highest rate"), from, to.with(note)]);
    }
    type Time = fn(&Route) -> Option<f64>;
    let times: [(&str, Time); 3] = [
        ("p50 with the course's users", |route| route.p50_ms),
        ("p95", |route| route.p95_ms),
        ("p99", |route| route.p99_ms),
    ];
    let of = |result: &StageResult, time: Time| time(result.load.route(ROUTES[0])?);
    for (name, time) in times {
        let [from, to] = [alone, together].map(|result| of(result, time));
        let note = compare_times("change", from, to);
        let last = Cell::new(maybe_ms(to)).with(note);
        table
            .rows
            .push(vec![Cell::new(name), Cell::new(maybe_ms(from)), last]);
    }
    let failed = [alone, together].map(|result| {
        percent(share(
            result.load.total.failures,
            result.load.total.requests,
        ))
    });
    table.row(std::iter::once("failed".to_owned()).chain(failed));
    let statements = [alone, together].map(|result| {
        let statements = result.statements_per_order();
        statements.map_or_else(|| super::numbers::UNKNOWN.into(), number)
    });
    table.row(std::iter::once("statements for one order".to_owned()).chain(statements));
    table
}
