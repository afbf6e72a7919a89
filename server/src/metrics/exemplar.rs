//! Exemplars: for each bucket of a histogram, the last trace that fell into it and can be looked up.

use std::sync::OnceLock;
use std::time::SystemTime;

use opentelemetry::trace::TraceId;
use parking_lot::Mutex;

/// A measured value, and the trace in which it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) trace: TraceId,
    /// The measured value, in the histogram's unit.
    pub(crate) value: f64,
    pub(crate) at: SystemTime,
}

/// The exemplars of one series: at most one for each bucket.
#[derive(Debug)]
pub(crate) struct Exemplars {
    /// Upper bounds of all buckets except the last, which has none.
    bounds: &'static [f64],
    /// Created with the first exemplar, as a program without traces needs none. Written when a kept trace is finished.
    by_bucket: OnceLock<Box<[Mutex<Option<Exemplar>>]>>,
}

impl Exemplars {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            by_bucket: OnceLock::new(),
        }
    }

    /// Replaces the exemplar of a bucket, unless the existing one is later.
    pub(crate) fn note(&self, exemplar: Exemplar) {
        let by_bucket = self.by_bucket.get_or_init(|| {
            let buckets = 0..=self.bounds.len();
            buckets.map(|_| Mutex::new(None)).collect()
        });
        let bucket = self.bounds.partition_point(|bound| *bound < exemplar.value);
        let mut kept = by_bucket[bucket].lock();
        if kept.is_none_or(|kept| kept.at <= exemplar.at) {
            *kept = Some(exemplar);
        }
    }

    /// The exemplar of the bucket with this index.
    pub(super) fn of(&self, bucket: usize) -> Option<Exemplar> {
        *self.by_bucket.get()?.get(bucket)?.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn exemplar(value: f64, second: u64) -> Exemplar {
        Exemplar {
            trace: TraceId::from(u128::from(second)),
            value,
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
        }
    }

    #[test]
    fn each_bucket_has_the_last_of_its_own() {
        let exemplars = Exemplars::new(&[0.1, 1.0]);
        assert_eq!(exemplars.of(0), None);
        for (value, second) in [(0.1, 1), (0.05, 3), (0.06, 2), (0.2, 4), (1.0, 5), (7.0, 6)] {
            exemplars.note(exemplar(value, second));
        }
        // A value that equals a bound belongs to the bucket below the bound.
        assert_eq!(exemplars.of(0), Some(exemplar(0.05, 3)));
        assert_eq!(exemplars.of(1), Some(exemplar(1.0, 5)));
        assert_eq!(exemplars.of(2), Some(exemplar(7.0, 6)));
        assert_eq!(exemplars.of(3), None);
    }
}
