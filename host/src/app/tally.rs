//! The counts of each of two live generations, by which they are compared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::metrics::TrialMetrics;
use crate::rollout::{BUCKETS, Counts, bucket};
use http::StatusCode;

/// The most waiting requests whose start times are known. Requests beyond these are counted only when they are
/// answered.
const PLACES: usize = 1024;

/// The number of places that a request tries, to find a free one.
const TRIED: usize = 16;

/// The counts of one generation while two are live.
pub(crate) struct Tally {
    requests: AtomicU64,
    errors: AtomicU64,
    /// When each unanswered request began, in microseconds after `born`; at least 1, because 0 marks a free place.
    /// [`OpenRequest`] changes it.
    open: Box<[AtomicU64]>,
    born: Instant,
    /// The number of answers by latency; see [`bucket`].
    latencies: Box<[AtomicU64]>,
    metrics: TrialMetrics,
}

impl Tally {
    pub(crate) fn new(metrics: TrialMetrics) -> Self {
        Self {
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            open: zeros(PLACES),
            born: Instant::now(),
            latencies: zeros(BUCKETS),
            metrics,
        }
    }

    /// Counts a request that begins now.
    pub(crate) fn begin(self: &Arc<Self>) -> OpenRequest {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        OpenRequest {
            place: self.take_place(number, began),
            tally: self.clone(),
            began,
            status: None,
            is_forgotten: false,
        }
    }

    /// Counts as an error an answer that broke off after a status without error.
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

    /// Takes a free place in `open` for a request, if one is found.
    fn take_place(&self, number: u64, began: Instant) -> Option<usize> {
        let since = micros(began.saturating_duration_since(self.born)).max(1);
        let first = number as usize % PLACES;
        let mut places = (first..first + TRIED).map(|place| place % PLACES);
        places.find(|place| {
            let place = &self.open[*place];
            let taken = place.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed);
            taken.is_ok()
        })
    }

    /// The counts so far.
    pub(crate) fn counts(&self) -> Counts {
        let answered = self
            .latencies
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let answered = answered
            .enumerate()
            .filter(|(_, count)| *count > 0)
            .collect();
        let now = micros(self.born.elapsed());
        let mut waiting = BTreeMap::new();
        for began in self.open.iter().map(|place| place.load(Ordering::Relaxed)) {
            if began > 0 {
                let waited = Duration::from_micros(now.saturating_sub(began));
                *waiting.entry(bucket(waited)).or_default() += 1;
            }
        }
        Counts {
            requests: self.requests.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            answered,
            waiting,
        }
    }
}

fn zeros(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A request that waits for the head of its answer. If this is dropped before the head is there, the client has given
/// up.
pub(crate) struct OpenRequest {
    tally: Arc<Tally>,
    place: Option<usize>,
    began: Instant,
    status: Option<StatusCode>,
    is_forgotten: bool,
}

impl OpenRequest {
    /// Records that the head of the answer is there, with this status.
    pub(crate) fn answered(mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Takes the request out of the counts, because the generation was never asked.
    pub(crate) fn forget(mut self) {
        self.free();
        self.tally.requests.fetch_sub(1, Ordering::Relaxed);
        self.is_forgotten = true;
    }

    fn free(&mut self) {
        if let Some(place) = self.place.take() {
            self.tally.open[place].store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.free();
        if self.is_forgotten {
            return;
        }
        // A client that left before its answer counts with 408, which is no server error, and with the time that it
        // waited.
        let status = self.status.unwrap_or(StatusCode::REQUEST_TIMEOUT);
        self.tally.end(status, self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn tally() -> Arc<Tally> {
        let metrics = Metrics::new().expect("names are unique");
        Arc::new(Tally::new(metrics.trials.trial("orders", "2")))
    }

    #[test]
    fn a_request_without_an_answer_counts_from_its_beginning() {
        let tally = tally();
        let (hangs, given_up) = (tally.begin(), tally.begin());
        drop(given_up);
        std::thread::sleep(Duration::from_millis(3));
        let slow = || tally.counts().slower_than(Duration::from_millis(1));
        assert_eq!(tally.counts().requests, 2);
        assert_eq!(slow(), 1);
        hangs.answered(StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(slow(), 1);
        assert_eq!(tally.counts().errors, 1);
        tally.broke();
        assert_eq!(tally.counts().errors, 2);
        assert!(tally.counts().waiting.is_empty());
    }

    #[test]
    fn one_that_was_not_asked_is_forgotten() {
        let tally = tally();
        tally.begin().forget();
        assert_eq!(tally.counts(), Counts::default());
    }

    #[test]
    fn more_requests_than_places_are_counted_when_they_are_answered() {
        let tally = tally();
        let open: Vec<OpenRequest> = (0..PLACES + 10).map(|_| tally.begin()).collect();
        assert_eq!(tally.counts().waiting.values().sum::<u64>(), PLACES as u64);
        open.into_iter()
            .for_each(|open| open.answered(StatusCode::OK));
        let counts = tally.counts();
        assert_eq!(counts.answered.values().sum::<u64>(), PLACES as u64 + 10);
        assert!(counts.waiting.is_empty());
        tally.begin();
        assert_eq!(tally.counts().requests, PLACES as u64 + 11);
    }
}
