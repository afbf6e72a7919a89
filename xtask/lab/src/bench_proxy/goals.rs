//! The goals of store-proxy compared with nginx, and whether they are met.

use super::report::Report;
use super::row::Row;
use crate::measure::TextTable;

/// The most memory of an idle connection, in KiB.
const MOST_IDLE: f64 = 12.0;

/// A row for each goal that this run measured, with one worker.
pub(super) fn table(report: &Report) -> TextTable {
    let mut table = TextTable::new(["goal", "asked", "measured", ""]);
    for row in Row::DEFAULTS {
        if let Some(ratio) = report.ratio(row, |m| m.requests_per_second) {
            let goal = row.goal();
            table.row([
                format!("{}, requests/s of nginx's", row.name()),
                format!("≥ {goal:.2}"),
                format!("{ratio:.2}"),
                mark(ratio >= goal),
            ]);
        }
        if let Some(ratio) = report.ratio(row, |m| m.p99_ms) {
            // Compared at the precision at which it is printed.
            let verdict = mark((ratio * 100.0).round() <= 100.0);
            table.row([
                format!("{}, p99 of nginx's", row.name()),
                "≤ 1.00".to_owned(),
                format!("{ratio:.2}"),
                report.unclear(row).map_or(verdict, str::to_owned),
            ]);
        }
    }
    if let Some(each) = report.idle_kib("store-proxy") {
        table.row([
            "idle connection, KiB".to_owned(),
            format!("≤ {MOST_IDLE:.0}"),
            format!("{each:.1}"),
            mark(each <= MOST_IDLE),
        ]);
    }
    table
}

fn mark(is_met: bool) -> String {
    if is_met { "met" } else { "missed" }.to_owned()
}
