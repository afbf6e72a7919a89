//! The calls that the course counts, under the names that hosts use too. A host counts the calls that reach it, and the
//! proxy those that it answers from its cache, so together they count each call once.

use prometheus::{IntCounter, Result};

use super::Declare;

/// Names of counters. If the answer may come from a cache, the path of the calls is given.
const COUNTERS: [(&str, Option<&str>); 3] = [
    // Never answered from a cache; it is listed so that each program has all three counters.
    ("orders_total", None),
    (
        "highest_spenders_total",
        Some("/orders/reports/highest-spenders"),
    ),
    ("best_sellers_total", Some("/orders/reports/best-sellers")),
];

pub(super) struct CourseCounters(Vec<(IntCounter, Option<&'static str>)>);

impl CourseCounters {
    pub(super) fn declare(declare: &Declare<'_>) -> Result<Self> {
        let help = "Calls answered from the cache; hosts count those that reach them";
        let counters = COUNTERS
            .iter()
            .map(|(name, path)| Ok((declare.counter(name, help)?, *path)));
        counters.collect::<Result<_>>().map(Self)
    }

    /// Counts a GET of a path in normal form. A slash at the end makes no difference, as in a host's routes.
    pub(super) fn count(&self, path: &[u8]) {
        let length = path.iter().rposition(|&byte| byte != b'/');
        let path = &path[..length.map_or(0, |last| last + 1)];
        for (counter, counted) in &self.0 {
            if counted.is_some_and(|counted| counted.as_bytes() == path) {
                counter.inc();
            }
        }
    }
}
