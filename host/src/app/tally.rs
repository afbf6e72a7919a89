//! What one of two live generations did, for comparing them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::Mutex;

use crate::metrics::TrialMetrics;

/// Buckets to each doubling of time: a latency is known to within a sixteenth.
const STEPS: usize = 16;

/// Up to 2^32 microseconds, more than an hour.
const BUCKETS: usize = STEPS * 33;

/// Counts of one generation while two are live.
pub(crate) struct Tally {
    requests: AtomicU64,
    errors: AtomicU64,
    /// When the requests without an answer began. Written by [`OpenRequest`].
    open: Mutex<BTreeMap<u64, Instant>>,
    /// Requests by latency; see [`bucket`].
    latencies: Box<[AtomicU64]>,
    metrics: TrialMetrics,
}

impl Tally {
    pub(crate) fn new(metrics: TrialMetrics) -> Self {
        Self {
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            open: Mutex::default(),
            latencies: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            metrics,
        }
    }

    /// Counts a request that begins now.
    pub(crate) fn begin(self: &Arc<Self>) -> OpenRequest {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        self.open.lock().insert(number, began);
        OpenRequest {
            tally: self.clone(),
            number,
            began,
            status: None,
        }
    }

    /// Counts an answer that broke off, though its status promised well.
    pub(crate) fn broke(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self, status: StatusCode, took: Duration) {
        if status.is_server_error() {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        self.latencies[bucket(took)].fetch_add(1, Ordering::Relaxed);
        self.metrics.record(status, took);
    }

    /// Those without an answer included.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Errors by requests; 0 without any.
    pub(crate) fn error_rate(&self) -> f64 {
        self.errors() as f64 / self.requests().max(1) as f64
    }

    /// The latency that 99 of 100 requests kept to; `None` without any.
    pub(crate) fn p99(&self) -> Option<Duration> {
        let counts: Vec<u64> = self.counts().collect();
        let total: u64 = counts.iter().sum();
        let allowed = total / 100;
        let mut slower = total;
        for (index, count) in counts.iter().enumerate() {
            slower -= count;
            if *count > 0 && slower <= allowed {
                return Some(upper_bound(index));
            }
        }
        None
    }

    /// How many requests took longer than `limit`, or wait for longer than that.
    pub(crate) fn slower_than(&self, limit: Duration) -> u64 {
        let answered: u64 = self.counts().skip(bucket(limit) + 1).sum();
        let waiting = |began: &&Instant| began.elapsed() > limit;
        answered + self.open.lock().values().filter(waiting).count() as u64
    }

    fn counts(&self) -> impl Iterator<Item = u64> {
        self.latencies
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
    }
}

/// A request until the head of its answer. One that is dropped before was given up by its client.
pub(crate) struct OpenRequest {
    tally: Arc<Tally>,
    number: u64,
    began: Instant,
    status: Option<StatusCode>,
}

impl OpenRequest {
    /// The head is there.
    pub(crate) fn answered(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.tally.open.lock().remove(&self.number);
        // Whoever left first counts as the client's doing, with the time that it waited.
        let status = self.status.unwrap_or(StatusCode::REQUEST_TIMEOUT);
        self.tally.end(status, self.began.elapsed());
    }
}

#[cfg(test)]
impl Tally {
    /// Counts a whole request.
    pub(crate) fn record(&self, status: StatusCode, took: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.end(status, took);
    }
}

/// Four bits after the highest one that is set, as in a floating point number.
fn bucket(took: Duration) -> usize {
    let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX) as usize;
    if micros < STEPS {
        return micros;
    }
    let exponent = micros.ilog2() as usize;
    let step = (micros >> (exponent - 4)) & (STEPS - 1);
    (exponent - 3) * STEPS + step
}

/// The longest time that falls into a bucket.
fn upper_bound(index: usize) -> Duration {
    if index < STEPS {
        return Duration::from_micros(index as u64);
    }
    let (exponent, step) = (index / STEPS + 3, index % STEPS);
    let next = ((STEPS + step + 1) as u64) << (exponent - 4);
    Duration::from_micros(next - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn the_p99_leaves_one_in_a_hundred_out() {
        let metrics = Metrics::new().expect("names are unique");
        let tally = Tally::new(metrics.swaps.trial("orders", "2"));
        assert_eq!(tally.p99(), None);
        for _ in 0..99 {
            tally.record(StatusCode::OK, Duration::from_micros(10));
        }
        tally.record(StatusCode::BAD_GATEWAY, Duration::from_secs(1));
        assert_eq!(tally.p99(), Some(Duration::from_micros(10)));
        assert_eq!(tally.slower_than(Duration::from_millis(1)), 1);
        assert_eq!((tally.requests(), tally.errors()), (100, 1));
        tally.record(StatusCode::OK, Duration::from_secs(1));
        tally.record(StatusCode::OK, Duration::from_secs(1));
        assert!(tally.p99() >= Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_request_without_an_answer_counts_from_its_beginning() {
        let metrics = Metrics::new().expect("names are unique");
        let tally = Arc::new(Tally::new(metrics.swaps.trial("orders", "2")));
        let (hangs, given_up) = (tally.begin(), tally.begin());
        drop(given_up);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(tally.requests(), 2);
        assert_eq!(tally.slower_than(Duration::from_millis(1)), 1);
        hangs.answered(StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(tally.slower_than(Duration::from_millis(1)), 1);
        assert_eq!(tally.errors(), 1);
        tally.broke();
        assert_eq!(tally.errors(), 2);
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
