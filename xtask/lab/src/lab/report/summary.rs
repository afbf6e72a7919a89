//! The start of the report: the headline, and a sentence for each step.

use super::Report;
use super::charts;
use super::document::{Block, Item, Section, Tile, Tone};
use super::flash_sale;
use super::numbers::{UNKNOWN, change, count, maybe_ms, ms, percent, share, tone};
use crate::lab::model::{ROUTES, StageResult};
use crate::lab::stage::Stage;

pub(super) fn section(report: &Report<'_>) -> Section {
    let mut section = Section::new("summary", "Summary");
    let (stages, sale) = report.parts();
    let own: Vec<&StageResult> = stages
        .iter()
        .filter(|result| result.stage != Stage::Reference)
        .collect();
    if own.is_empty() && sale.is_empty() {
        section.text("No stage was measured.");
        return section;
    }
    if report.run.settings.quick {
        section.note("A quick run: little data, a short load, programs built for tests. It shows that everything works; its figures mean nothing.");
    }
    let mut shown = Vec::new();
    if let (Some(first), Some(last)) = (own.first(), own.last())
        && own.len() > 1
    {
        shown.extend(tiles(first, last));
    }
    shown.extend(flash_sale_tile(sale));
    if !shown.is_empty() {
        section.blocks.push(Block::Tiles(shown));
    }
    if !stages.is_empty() {
        let caption = "Highest rate of the course's mix whose 99th percentile stays under 100 ms, with no failure. Longer is better.";
        let rates = charts::highest_rates(stages, "highest-rates", caption);
        section.blocks.extend(rates.map(Block::Chart));
        let p95 = charts::p95_by_route(stages);
        section.blocks.push(Block::Chart(p95));
        section.heading("Step by step");
        section.blocks.push(Block::List(steps(stages)));
    }
    for (stage, reason) in report.skipped {
        section.note(format!("{} was not measured: {reason}.", stage.name()));
    }
    section
}

/// A tile for orders of one product: committed alone, and together.
fn flash_sale_tile(sale: &[StageResult]) -> Option<Tile> {
    let [alone, together] = flash_sale::both(sale)?;
    let (from, to) = (alone.highest_rate()?, together.highest_rate()?);
    Some(Tile {
        label: "A flash sale, orders/s".into(),
        value: format!("{} → {}", count(from.into()), count(to.into())),
        note: format!(
            "each alone → together: {:.1} times",
            f64::from(to) / f64::from(from)
        ),
    })
}

/// Tiles that compare the first stage with the last.
fn tiles(first: &StageResult, last: &StageResult) -> Vec<Tile> {
    let pair = format!("{} → {}", first.stage.short(), last.stage.short());
    let mut tiles = Vec::new();
    if let (Some(from), Some(to)) = (first.highest_rate(), last.highest_rate()) {
        let factor = f64::from(to) / f64::from(from);
        tiles.push(Tile {
            label: "Highest rate, requests/s".into(),
            value: format!("{} → {}", count(from.into()), count(to.into())),
            note: format!("{pair}: {factor:.1} times"),
        });
    }
    for (label, p95) in [
        (
            "Reports, p95",
            reports_p95 as fn(&StageResult) -> Option<f64>,
        ),
        ("POST /orders, p95", orders_p95),
    ] {
        let (from, to) = (p95(first), p95(last));
        let change = from.zip(to).and_then(|(from, to)| change(from, to));
        tiles.push(Tile {
            label: label.into(),
            value: format!("{} → {}", maybe_ms(from), maybe_ms(to)),
            note: format!("{pair}: {}", change.unwrap_or_else(|| UNKNOWN.into())),
        });
    }
    let failed =
        |result: &StageResult| share(result.load.total.failures, result.load.total.requests);
    tiles.push(Tile {
        label: "Requests failed".into(),
        value: format!("{} → {}", percent(failed(first)), percent(failed(last))),
        note: pair,
    });
    tiles
}

/// One sentence for each stage, compared with the previous stage.
fn steps(stages: &[StageResult]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut before: Option<&StageResult> = None;
    for result in stages {
        let lead = match result.stage {
            Stage::Reference => "Reference.".to_owned(),
            stage => format!("{}. {}.", stage.number(), stage.title()),
        };
        let text = match before {
            None => alone(result),
            Some(before) => compared(before, result),
        };
        items.push(Item { lead, text });
        if result.stage != Stage::Reference {
            before = Some(result);
        }
    }
    items
}

fn alone(result: &StageResult) -> String {
    let rate = match (&result.saturation, result.highest_rate()) {
        (None, _) => String::new(),
        (Some(_), Some(rate)) => format!("; {} requests/s at most", count(rate.into())),
        (Some(_), None) => "; no rate at all stays under 100 ms".into(),
    };
    let total = &result.load.total;
    format!(
        "Orders took {} and reports {} (p95), {} of the requests failed{rate}.",
        maybe_ms(orders_p95(result)),
        maybe_ms(reports_p95(result)),
        percent(share(total.failures, total.requests))
    )
}

fn compared(before: &StageResult, result: &StageResult) -> String {
    let mut parts = Vec::new();
    for (label, p95) in [
        ("orders", orders_p95 as fn(&StageResult) -> Option<f64>),
        ("reports", reports_p95),
    ] {
        if let Some((from, to)) = p95(before).zip(p95(result)) {
            let change = change(from, to).map_or_else(String::new, |change| format!(" ({change})"));
            parts.push(format!("{label} p95 {} → {}{change}", ms(from), ms(to)));
        }
    }
    let rate = |result: &StageResult| match (&result.saturation, result.highest_rate()) {
        (None, _) => None,
        (_, Some(rate)) => Some(format!("{}/s", count(rate.into()))),
        (_, None) => Some("none".to_owned()),
    };
    if let Some((from, to)) = rate(before).zip(rate(result)) {
        let rates = before.highest_rate().zip(result.highest_rate());
        let change = rates.and_then(|(from, to)| change(from.into(), to.into()));
        let change = change.map_or_else(String::new, |change| format!(" ({change})"));
        parts.push(format!("highest rate {from} → {to}{change}"));
    }
    let failed =
        |result: &StageResult| share(result.load.total.failures, result.load.total.requests);
    if failed(before) > 0.0 || failed(result) > 0.0 {
        parts.push(format!(
            "failed {} → {}",
            percent(failed(before)),
            percent(failed(result))
        ));
    }
    let name = before.stage.name();
    format!(
        "{} against {name}: {}.",
        verdict(before, result),
        parts.join(", ")
    )
}

/// Compares two stages: by the highest rate if one of them has any; otherwise by the share of requests that did not
/// fail, if any failed; otherwise by the slowest route.
fn verdict(before: &StageResult, result: &StageResult) -> &'static str {
    let (was, is) = (&before.load.total, &result.load.total);
    let is_searched = before.saturation.is_some() && result.saturation.is_some();
    let has_rate = before.highest_rate().or(result.highest_rate()).is_some();
    let tone = if is_searched && has_rate {
        let rate = |result: &StageResult| f64::from(result.highest_rate().unwrap_or(1));
        tone(rate(result), rate(before))
    } else if was.failures + is.failures > 0 {
        let good = |requests: u64, failures: u64| (requests - failures).max(1) as f64;
        tone(
            good(is.requests, is.failures),
            good(was.requests, was.failures),
        )
    } else {
        tone(
            was.p95_ms.unwrap_or(f64::NAN),
            is.p95_ms.unwrap_or(f64::NAN),
        )
    };
    match tone {
        Tone::Better => "Better",
        Tone::Worse => "Worse",
        Tone::Even => "No clear difference",
    }
}

fn orders_p95(result: &StageResult) -> Option<f64> {
    result.load.route(ROUTES[0])?.p95_ms
}

/// The p95 of the slower report.
fn reports_p95(result: &StageResult) -> Option<f64> {
    let p95 = |name| result.load.route(name)?.p95_ms;
    let of_both = ROUTES[1..].iter().filter_map(|name| p95(name));
    of_both.max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::testing::{failing, result};

    #[test]
    fn each_step_is_compared_with_the_one_before_and_never_with_the_reference() {
        let stages = [
            result(Stage::Reference),
            failing(Stage::RedisNaive),
            result(Stage::Cached),
        ];
        let steps = steps(&stages);
        assert_eq!(steps[0].lead, "Reference.");
        assert!(
            steps[1].text.starts_with("Orders took"),
            "{}",
            steps[1].text
        );
        let text = &steps[2].text;
        assert!(text.contains("against redis-naive"), "{text}");
        assert!(
            text.contains("reports p95 900 ms → 20 ms (−98 %)"),
            "{text}"
        );
        assert!(text.contains("failed 20 % → 0 %"), "{text}");
    }

    #[test]
    fn where_no_rate_is_good_the_requests_that_were_answered_decide() {
        let (mut before, mut after) = (failing(Stage::MysqlBatched), failing(Stage::RedisNaive));
        before.saturation = None;
        after.saturation = None;
        assert_eq!(verdict(&before, &after), "No clear difference");
        after.load.total.failures = after.load.total.requests / 2;
        assert_eq!(verdict(&before, &after), "Worse");
    }
}
