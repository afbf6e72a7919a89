//! The goals of the host compared with its native twin, and with itself when each order commits alone, and whether they
//! are met.

use super::report::{Report, Sample};
use super::routes::Route;
use super::sides::{HOST, HOST_SINGLE, NATIVE};
use crate::measure::TextTable;

/// The number of connections at which requests/s are compared.
const CONNECTIONS: u32 = 32;

/// As [`CONNECTIONS`], for orders. Orders commit together, so the gain grows with the number of connections.
const CONNECTIONS_OF_ORDERS: u32 = 64;

/// The host's highest p99 at 70 % of saturation, as a multiple of the twin's.
const MOST_P99: f64 = 2.0;

/// The highest p99 of orders that commit together, as a multiple of the p99 of orders that commit alone. The rate is 70
/// % of the saturation of the host that commits each order alone.
const MOST_P99_OF_SINGLE: f64 = 1.0;

/// The highest p50 of an order at 1 connection, as a multiple of the p50 of an order that commits alone: an order must
/// not wait for others.
const MOST_P50_OF_SINGLE: f64 = 1.1;

/// The most MariaDB processor time per order, as a share of the time with the twin that commits each order alone.
const MOST_MARIADB_CPU: f64 = 1.0 / 3.0;

/// The least requests/s of a cached report, as a share of the empty handler's, because the component itself should add
/// little.
const REPORT_OF_EMPTY: f64 = 0.9;

/// The least requests/s of the host, as a share of the twin's.
fn share_of_native(route: Route) -> f64 {
    match route {
        Route::Empty => 0.4,
        Route::Report => 0.5,
        Route::Order | Route::Stock => 0.55,
        Route::Place => 3.0,
        Route::FlashSale => 6.0,
    }
}

/// A row for each goal that this run measured.
pub(super) fn table(report: &Report) -> TextTable {
    let mut table = TextTable::new(["goal", "asked", "measured", ""]);
    for route in Route::ALL {
        let mut rows = vec![rate(report, route)];
        if route.places_orders() {
            rows.extend([mariadb_cpu(report, route), p50_alone(report, route)]);
            rows.push(p99(report, route, HOST_SINGLE, MOST_P99_OF_SINGLE));
        } else {
            rows.push(p99(report, route, NATIVE, MOST_P99));
        }
        for row in rows.into_iter().flatten() {
            table.row(row);
        }
    }
    let rate = |route| report.requests_per_second(route, CONNECTIONS, HOST);
    if let (Some(report), Some(empty)) = (rate(Route::Report), rate(Route::Empty)) {
        let what = "cached report of the empty handler";
        table.row(at_least(what, REPORT_OF_EMPTY, report / empty));
    }
    table
}

type Row = [String; 4];

fn rate(report: &Report, route: Route) -> Option<Row> {
    let connections = match route.places_orders() {
        true => CONNECTIONS_OF_ORDERS,
        false => CONNECTIONS,
    };
    let of = |side| report.requests_per_second(route, connections, side);
    let what = format!("{} of native, {connections} connections", route.label());
    let ratio = of(HOST)? / of(NATIVE)?;
    Some(at_least(&what, share_of_native(route), ratio))
}

fn mariadb_cpu(report: &Report, route: Route) -> Option<Row> {
    let connections = CONNECTIONS_OF_ORDERS;
    let of = |side| {
        let value = Sample::mariadb_cpu_seconds_per_100k;
        report.median_of(route, connections, side, value)
    };
    let what = format!("{} MariaDB's CPU, of native's", route.label());
    Some(at_most(&what, MOST_MARIADB_CPU, of(HOST)? / of(NATIVE)?))
}

fn p50_alone(report: &Report, route: Route) -> Option<Row> {
    let of = |side| report.median_of(route, 1, side, |sample| Some(sample.p50_ms));
    let what = format!("{} p50 at 1 connection, of single", route.label());
    let ratio = of(HOST)? / of(HOST_SINGLE)?;
    Some(at_most(&what, MOST_P50_OF_SINGLE, ratio))
}

fn p99(report: &Report, route: Route, other: &str, most: f64) -> Option<Row> {
    let ratio = report.p99_ms(route, HOST)? / report.p99_ms(route, other)?;
    let whose = match route.places_orders() {
        true => " of single's rate",
        false => "",
    };
    let what = format!("{} p99 at 70 %{whose}, of {other}", route.label());
    let mut row = at_most(&what, most, ratio);
    let sides = [HOST, other];
    let unclear = |side: &&str| report.unclear(route, side);
    if let Some(reason) = sides.iter().find_map(unclear) {
        reason.clone_into(&mut row[3]);
    }
    Some(row)
}

fn at_least(what: &str, asked: f64, measured: f64) -> Row {
    row(what, '≥', asked, measured, measured >= asked)
}

fn at_most(what: &str, asked: f64, measured: f64) -> Row {
    row(what, '≤', asked, measured, measured <= asked)
}

fn row(what: &str, sign: char, asked: f64, measured: f64, is_met: bool) -> Row {
    [
        what.to_owned(),
        format!("{sign} {asked:.2}"),
        format!("{measured:.2}"),
        if is_met { "met" } else { "missed" }.to_owned(),
    ]
}
