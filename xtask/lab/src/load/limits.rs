//! The limits that a run must not exceed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::locust::{Figures, Outcome};

#[derive(Debug, Args)]
pub(super) struct Limits {
    /// Exit with 1 if 95 % of a route's requests took longer than this
    #[arg(long, value_name = "TIME", value_parser = time)]
    max_p95: Option<Duration>,
    /// Exit with 1 if 99 % of a route's requests took longer than this
    #[arg(long, value_name = "TIME", value_parser = time)]
    max_p99: Option<Duration>,
    /// Exit with 1 if more requests than this failed
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_failures: u64,
}

impl Limits {
    /// Prints a line for each limit that was exceeded.
    pub(super) fn judge(&self, outcome: &Outcome) -> ExitCode {
        let missed = self.missed(outcome);
        for line in &missed {
            eprintln!("✗ {line}");
        }
        if missed.is_empty() {
            eprintln!("✓ {}", self.kept(outcome));
            return ExitCode::SUCCESS;
        }
        ExitCode::FAILURE
    }

    fn missed(&self, outcome: &Outcome) -> Vec<String> {
        let mut missed = Vec::new();
        let total = &outcome.total;
        if total.requests == 0 {
            missed.push("no request was made".to_owned());
        }
        if total.failures > self.max_failures {
            let allowed = match self.max_failures {
                0 => String::new(),
                allowed => format!(", more than --max-failures {allowed}"),
            };
            missed.push(format!(
                "{} of {} requests failed{allowed}",
                total.failures, total.requests
            ));
        }
        for exception in &outcome.exceptions {
            missed.push(format!("a locustfile failed: {}", exception.message));
        }
        missed.extend(too_slow(outcome, "p95", self.max_p95, |route| route.p95_ms));
        missed.extend(too_slow(outcome, "p99", self.max_p99, |route| route.p99_ms));
        missed
    }

    fn kept(&self, outcome: &Outcome) -> String {
        let mut kept = format!(
            "{} requests, {} failed",
            outcome.total.requests, outcome.total.failures
        );
        for (name, limit) in [("p95", self.max_p95), ("p99", self.max_p99)] {
            if let Some(limit) = limit {
                kept += &format!(
                    ", each route's {name} within {}",
                    humantime::format_duration(limit)
                );
            }
        }
        kept
    }
}

fn too_slow(
    outcome: &Outcome,
    name: &str,
    limit: Option<Duration>,
    figure: impl Fn(&Figures) -> f64,
) -> Vec<String> {
    let Some(limit) = limit else {
        return Vec::new();
    };
    let limit_ms = limit.as_secs_f64() * 1000.0;
    let slow = outcome
        .routes
        .iter()
        .filter(|route| figure(route) > limit_ms);
    slow.map(|route| {
        format!(
            "{name} of {} was {} ms, more than --max-{name} {}",
            route.name,
            figure(route),
            humantime::format_duration(limit)
        )
    })
    .collect()
}

fn time(text: &str) -> Result<Duration> {
    humantime::parse_duration(text).context("expected a time like 100ms or 2s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::table::tests::{figures, outcome};

    const NONE: Limits = Limits {
        max_p95: None,
        max_p99: None,
        max_failures: 0,
    };

    #[test]
    fn a_failed_request_is_a_miss_unless_it_is_allowed() {
        let failed = outcome(&[figures("POST /orders", 10, 1, 5.0)]);
        assert_eq!(NONE.missed(&failed), ["1 of 10 requests failed"]);
        let lenient = Limits {
            max_failures: 1,
            ..NONE
        };
        assert!(lenient.missed(&failed).is_empty());
    }

    #[test]
    fn a_slow_route_is_named() {
        let slow = outcome(&[
            figures("GET /a", 1000, 0, 2.0),
            figures("POST /orders", 10, 0, 120.0),
        ]);
        assert!(NONE.missed(&slow).is_empty());
        let limits = Limits {
            max_p95: Some(Duration::from_millis(100)),
            ..NONE
        };
        assert_eq!(
            limits.missed(&slow),
            ["p95 of POST /orders was 120 ms, more than --max-p95 100ms"]
        );
    }

    #[test]
    fn a_run_without_requests_proves_nothing() {
        assert_eq!(NONE.missed(&outcome(&[])), ["no request was made"]);
    }
}
