//! The calls that the course counts, under the names that hosts count them by. A host counts those that reach it, and the
//! proxy those that it answers by itself: together, every call of a client once.

use prometheus::{IntCounter, Result};

use super::Declare;

/// Names of counters, each with the path of its calls if the answer may come from a cache.
const COUNTERS: [(&str, Option<&str>); 3] = [
    // Never answered from a cache; it is here so that each program has all three.
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

    /// Counts a GET of a path in its normal form. A slash at the end makes no difference, as with a host's routes.
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
