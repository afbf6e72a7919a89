//! What the host must reach of its native twin, and what it does.

use super::report::Report;
use super::routes::Route;
use super::sides::{HOST, NATIVE};
use crate::measure::Table;

/// Connections at which requests/s are compared.
const CONNECTIONS: u32 = 32;

/// The same for orders, which commit together: the more come at once, the more that gains.
const CONNECTIONS_OF_ORDERS: u32 = 64;

/// Highest p99 of the host at 70 % of saturation, as a multiple of the twin's.
const MOST_P99: f64 = 1.5;

/// Least requests/s of a cached report, as a share of the empty handler's: the component itself adds little.
const REPORT_OF_EMPTY: f64 = 0.85;

/// Least requests/s of the host, as a share of the twin's.
fn share_of_native(route: Route) -> f64 {
    match route {
        Route::Empty | Route::Report => 0.4,
        Route::Order | Route::Stock => 0.5,
        Route::Place => 3.0,
        Route::FlashSale => 6.0,
    }
}

/// A row for each goal that this run measured.
pub(super) fn table(report: &Report) -> Table {
    let connections = |route: Route| match route.places_orders() {
        true => CONNECTIONS_OF_ORDERS,
        false => CONNECTIONS,
    };
    let rate = |route, side| report.requests_per_second(route, connections(route), side);
    let mut table = Table::new(["goal", "asked", "measured", ""]);
    for route in Route::ALL {
        if let (Some(host), Some(native)) = (rate(route, HOST), rate(route, NATIVE)) {
            let what = format!(
                "{} of native, {} connections",
                route.label(),
                connections(route)
            );
            table.row(at_least(&what, share_of_native(route), host / native));
        }
        if let (Some(host), Some(native)) =
            (report.p99_ms(route, HOST), report.p99_ms(route, NATIVE))
        {
            let ratio = host / native;
            let mark = if report.kept_rate(route, HOST) && report.kept_rate(route, NATIVE) {
                mark(ratio <= MOST_P99)
            } else {
                "unclear: the rate was not kept"
            };
            table.row([
                format!("{} p99 at 70 %, of native", route.label()),
                format!("≤ {MOST_P99:.2}"),
                format!("{ratio:.2}"),
                mark.to_owned(),
            ]);
        }
    }
    if let (Some(report), Some(empty)) = (rate(Route::Report, HOST), rate(Route::Empty, HOST)) {
        let what = "cached report of the empty handler";
        table.row(at_least(what, REPORT_OF_EMPTY, report / empty));
    }
    table
}

fn at_least(what: &str, asked: f64, measured: f64) -> [String; 4] {
    [
        what.to_owned(),
        format!("≥ {asked:.2}"),
        format!("{measured:.2}"),
        mark(measured >= asked).to_owned(),
    ]
}

fn mark(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}
