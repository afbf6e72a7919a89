//! What clients saw: each order with its outcome, and each request with its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Errand {
    /// Placing an order
    Order,
    /// Cancelling an order
    Cancel,
    /// Reading one of the client's own orders
    Own,
    /// Reading a stock level
    Stock,
    /// Reading a report
    Report,
}

/// The result of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    /// The store answered correctly; this includes a justified refusal
    Good,
    /// An answer that reports a failure
    Bad(u16),
    /// No connection could be opened
    NoConnection,
    /// The connection broke, or no answer came in time
    Broken,
}

/// One request: when it began and ended, counted from the start of the load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    pub(super) client: u32,
    pub(super) errand: Errand,
    pub(super) began: Duration,
    pub(super) ended: Duration,
    pub(super) answer: Answer,
}

/// The outcome of an order, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Placed(u64),
    /// Refused with this status, so nothing was done
    Refused(u16),
    /// There was no answer, or the answer left the outcome open
    Unknown,
}

/// Whether an order was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancellation {
    No,
    Yes,
    Unknown,
}

/// An order. User and number identify it: its first line has `number` pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) user: u64,
    pub(super) number: u64,
    pub(super) is_keyed: bool,
    /// Products and pieces, by ascending product.
    pub(super) lines: Vec<(u64, u64)>,
    pub(super) outcome: Outcome,
    pub(super) cancelled: Cancellation,
}

/// A read whose result contradicted what the client had been told before.
#[derive(Clone, Debug)]
pub(super) struct StaleRead {
    pub(super) order: u64,
    /// How long reads were wrong.
    pub(super) lasted: Duration,
    /// Whether reads were right in the end.
    pub(super) is_over: bool,
}

/// Everything that one client, or all of them, saw.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) tries: Vec<Try>,
    pub(super) orders: Vec<Order>,
    pub(super) old_reads: Vec<StaleRead>,
    /// Answers that are wrong in themselves.
    pub(super) wrong: Vec<String>,
}

impl History {
    pub(super) fn add(&mut self, other: Self) {
        self.tries.extend(other.tries);
        self.orders.extend(other.orders);
        self.old_reads.extend(other.old_reads);
        self.wrong.extend(other.wrong);
    }
}

/// The counters that all clients update during the load, for the progress lines, and the clients' common clock.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) began: Instant,
    good: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            good: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    pub(super) fn count(&self, answer: Answer) {
        let counter = match answer {
            Answer::Good => &self.good,
            _ => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers of good and of other answers so far.
    pub(super) fn counts(&self) -> (u64, u64) {
        let [good, failed] = [&self.good, &self.failed].map(|one| one.load(Ordering::Relaxed));
        (good, failed)
    }
}
