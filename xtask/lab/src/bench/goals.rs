//! What the host must reach of its native twin, and what it does.

use std::fmt;

use super::report::Report;
use super::routes::Route;
use super::sides::{HOST, NATIVE};

/// Where requests/s are compared.
const CONNECTIONS: u32 = 32;

/// And of orders, which commit together: the more there are at once, the more it is worth.
const CONNECTIONS_OF_ORDERS: u32 = 64;

/// The host's p99 at 70 % of saturation, of the twin's.
const MOST_P99: f64 = 1.5;

/// A cached report, of the empty handler: what the component itself adds is small.
const REPORT_OF_EMPTY: f64 = 0.85;

/// Requests/s, of the twin's.
fn share_of_native(route: Route) -> f64 {
    match route {
        Route::Empty | Route::Report => 0.4,
        Route::Order | Route::Stock => 0.5,
        Route::Place => 3.0,
        Route::FlashSale => 6.0,
    }
}

/// Writes a line for each goal that this run measured.
pub(super) fn write(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let connections = |route: Route| match route.places_orders() {
        true => CONNECTIONS_OF_ORDERS,
        false => CONNECTIONS,
    };
    let rate = |route, side| report.requests_per_second(route, connections(route), side);
    writeln!(f, "| goal | asked | measured | |\n|---|---|---|---|")?;
    for route in Route::ALL {
        if let (Some(host), Some(native)) = (rate(route, HOST), rate(route, NATIVE)) {
            let what = format!(
                "{} of native, {} connections",
                route.label(),
                connections(route)
            );
            at_least(f, &what, share_of_native(route), host / native)?;
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
            writeln!(
                f,
                "| {} p99 at 70 %, of native | ≤ {MOST_P99:.2} | {ratio:.2} | {mark} |",
                route.label(),
            )?;
        }
    }
    if let (Some(report), Some(empty)) = (rate(Route::Report, HOST), rate(Route::Empty, HOST)) {
        let what = "cached report of the empty handler";
        at_least(f, what, REPORT_OF_EMPTY, report / empty)?;
    }
    Ok(())
}

fn at_least(f: &mut fmt::Formatter<'_>, what: &str, asked: f64, measured: f64) -> fmt::Result {
    let mark = mark(measured >= asked);
    writeln!(f, "| {what} | ≥ {asked:.2} | {measured:.2} | {mark} |")
}

fn mark(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}
