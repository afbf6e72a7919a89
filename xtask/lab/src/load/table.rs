//! Prints the results of a run for people.

use crate::locust::{Figures, Outcome};
use crate::measure::{Column, TextTable};

/// The column for a route's name; the longest name fits.
pub(super) const NAME: Column = Column::Left(37);

const COLUMNS: [Column; 7] = [
    NAME,
    Column::Right(9),
    Column::Right(8),
    Column::Right(8),
    Column::Right(8),
    Column::Right(8),
    Column::Right(8),
];

/// The figures of each route, then the reasons of failures.
pub(super) fn of(outcome: &Outcome) -> String {
    let mut table = TextTable::new(["", "requests", "failures", "req/s", "p50", "p95", "p99"]);
    for route in &outcome.routes {
        table.row(row(&route.name, route));
    }
    table.row(row("all", &outcome.total));
    let mut text = format!("\n{}", table.in_columns(&COLUMNS));
    if !outcome.failures.is_empty() {
        text += "\nfailures\n";
    }
    for failure in &outcome.failures {
        text += &format!(
            "{:>9}  {}: {}\n",
            failure.occurrences, failure.name, failure.error
        );
    }
    text
}

/// `12 ms`, `1.5 s`.
pub(super) fn milliseconds(ms: f64) -> String {
    if ms >= 1000.0 {
        format!("{:.1} s", ms / 1000.0)
    } else {
        format!("{ms:.0} ms")
    }
}

fn row(name: &str, figures: &Figures) -> [String; 7] {
    [
        name.to_owned(),
        figures.requests.to_string(),
        figures.failures.to_string(),
        format!("{:.1}", figures.requests_per_second),
        milliseconds(figures.p50_ms),
        milliseconds(figures.p95_ms),
        milliseconds(figures.p99_ms),
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::locust::Failure;

    pub(in crate::load) fn figures(
        name: &str,
        requests: u64,
        failures: u64,
        p95_ms: f64,
    ) -> Figures {
        Figures {
            name: name.to_owned(),
            requests,
            failures,
            requests_per_second: 1.0,
            average_ms: p95_ms,
            p50_ms: p95_ms,
            p95_ms,
            p99_ms: p95_ms,
            max_ms: p95_ms,
        }
    }

    pub(in crate::load) fn outcome(routes: &[Figures]) -> Outcome {
        let requests = routes.iter().map(|route| route.requests).sum();
        let failures = routes.iter().map(|route| route.failures).sum();
        Outcome {
            routes: routes.to_vec(),
            total: figures("Aggregated", requests, failures, 1.0),
            failures: Vec::new(),
            exceptions: Vec::new(),
        }
    }

    #[test]
    fn a_failure_stands_with_its_route_and_reason() {
        let mut outcome = outcome(&[figures("POST /orders", 10, 2, 1500.0)]);
        outcome.failures.push(Failure {
            name: "POST /orders".to_owned(),
            error: "503: try again".to_owned(),
            occurrences: 2,
        });
        let text = of(&outcome);
        assert!(
            text.contains("        2  POST /orders: 503: try again"),
            "{text}"
        );
        assert!(text.contains("1.5 s"), "{text}");
    }
}
