//! The counts of one version, on one host or summed over several, for comparing it with another version.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The number of buckets for each doubling of the time. So a latency is known to within a sixteenth.
const STEPS: usize = 16;

/// The number of buckets. They reach to 2^32 microseconds, more than an hour.
pub(crate) const BUCKETS: usize = STEPS * 33;

/// The requests to one version, their errors and their latencies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// All requests, including those without an answer.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// The answered requests, by [`bucket`] of their latency.
    pub(crate) answered: BTreeMap<usize, u64>,
    /// The requests without an answer, by [`bucket`] of the time that they have waited.
    pub(crate) waiting: BTreeMap<usize, u64>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        for (to, from) in [
            (&mut self.answered, &other.answered),
            (&mut self.waiting, &other.waiting),
        ] {
            for (bucket, count) in from {
                *to.entry(*bucket).or_default() += count;
            }
        }
    }

    /// Errors divided by requests; 0 without requests.
    pub(crate) fn error_rate(&self) -> f64 {
        self.errors as f64 / self.requests.max(1) as f64
    }

    /// The median latency; `None` without answers.
    pub(crate) fn p50(&self) -> Option<Duration> {
        self.all_but(2)
    }

    /// The 99th percentile of the latency; `None` without answers.
    pub(crate) fn p99(&self) -> Option<Duration> {
        self.all_but(100)
    }

    /// The latency that is exceeded by at most one of `many` requests.
    fn all_but(&self, many: u64) -> Option<Duration> {
        let total: u64 = self.answered.values().sum();
        let mut slower = total;
        for (index, count) in &self.answered {
            slower -= count;
            if *count > 0 && slower <= total / many {
                return Some(upper_bound(*index));
            }
        }
        None
    }

    /// How many requests took longer than `limit`, or have waited longer.
    pub(crate) fn slower_than(&self, limit: Duration) -> u64 {
        let above = bucket(limit) + 1;
        let slow = |counts: &BTreeMap<usize, u64>| {
            counts.range(above..).map(|(_, count)| count).sum::<u64>()
        };
        slow(&self.answered) + slow(&self.waiting)
    }
}

/// The bucket of a latency: the position of the highest set bit, and the four bits after it, as in a floating point
/// number.
pub(crate) fn bucket(took: Duration) -> usize {
    let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX) as usize;
    if micros < STEPS {
        return micros;
    }
    let exponent = micros.ilog2() as usize;
    let step = (micros >> (exponent - 4)) & (STEPS - 1);
    (exponent - 3) * STEPS + step
}

/// The longest time that belongs to a bucket.
fn upper_bound(index: usize) -> Duration {
    if index < STEPS {
        return Duration::from_micros(index as u64);
    }
    // Another host may send any index.
    let (exponent, step) = (index.min(BUCKETS) / STEPS + 3, index % STEPS);
    let next = ((STEPS + step + 1) as u64) << (exponent - 4);
    Duration::from_micros(next - 1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Counts with these requests, these errors among them, and the same latency for each.
    pub(in super::super) fn counts(requests: u64, errors: u64, took_ms: u64) -> Counts {
        let answered = BTreeMap::from([(bucket(Duration::from_millis(took_ms)), requests)]);
        Counts {
            requests,
            errors,
            answered,
            waiting: BTreeMap::new(),
        }
    }

    #[test]
    fn the_p99_leaves_one_in_a_hundred_out() {
        assert_eq!(Counts::default().p99(), None);
        let mut all = counts(99, 0, 10);
        all.add(&counts(1, 1, 1000));
        assert_eq!(all.p99(), counts(1, 0, 10).p99());
        assert_eq!(all.slower_than(Duration::from_millis(20)), 1);
        assert_eq!((all.requests, all.errors), (100, 1));
        all.add(&counts(2, 0, 1000));
        assert!(all.p99() >= Some(Duration::from_secs(1)));
        assert_eq!(all.p50(), counts(1, 0, 10).p50());
    }

    #[test]
    fn sums_go_over_a_wire() {
        let mut all = counts(7, 1, 3);
        all.waiting.insert(bucket(Duration::from_secs(2)), 1);
        let text = serde_json::to_string(&all).expect("it has a form");
        assert_eq!(
            serde_json::from_str::<Counts>(&text).expect("the same form"),
            all
        );
        let odd = r#"{"requests":1,"errors":0,"answered":{"99999999":1},"waiting":{}}"#;
        let odd: Counts = serde_json::from_str(odd).expect("a count");
        assert!(odd.p99().is_some());
    }

    #[test]
    fn buckets_are_narrow_and_in_order() {
        let mut last = 0;
        for micros in (0..100_000).chain((100_000..u64::from(u32::MAX)).step_by(999_983)) {
            let took = Duration::from_micros(micros);
            let index = bucket(took);
            assert!(index < BUCKETS && index >= last, "{micros} µs");
            last = index;
            let bound = upper_bound(index);
            assert!(bound >= took && bound <= took + took / 15, "{micros} µs");
        }
        assert!(bucket(Duration::from_secs(1_000_000)) < BUCKETS);
    }
}
