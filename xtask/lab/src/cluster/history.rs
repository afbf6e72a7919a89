//! What clients saw: each order with what became of it, and each request with its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Errand {
    /// Placing an order
    Order,
    /// Cancelling one
    Cancel,
    /// Reading an order of one's own
    Own,
    /// Reading a stock level
    Stock,
    /// Reading a report
    Report,
}

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    /// The store did what it is there for, a refusal for a reason included
    Good,
    /// An answer that says that something is wrong
    Bad(u16),
    /// No connection came about
    NoConnection,
    /// The connection broke, or no answer came in time
    Broken,
}

/// One request: when it began and ended, since the load began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    pub(super) client: u32,
    pub(super) errand: Errand,
    pub(super) began: Duration,
    pub(super) ended: Duration,
    pub(super) answer: Answer,
}

/// What the client of an order knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Placed(u64),
    /// With this status, which means that nothing was done
    Refused(u16),
    /// There is no answer, or one that leaves it open
    Unknown,
}

/// Whether an order was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancellation {
    No,
    Yes,
    Unknown,
}

/// An order. User and number are its own alone: its first line is of `number` pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) user: u64,
    pub(super) number: u64,
    pub(super) is_keyed: bool,
    /// Products and pieces, by product.
    pub(super) lines: Vec<(u64, u64)>,
    pub(super) outcome: Outcome,
    pub(super) cancelled: Cancellation,
}

/// A read that did not show what its reader had been told before.
#[derive(Clone, Debug)]
pub(super) struct StaleRead {
    pub(super) order: u64,
    /// For how long it was shown wrong.
    pub(super) lasted: Duration,
    /// Whether it was right in the end.
    pub(super) is_over: bool,
}

/// What one client, or all of them, saw.
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

/// What all clients count while they are at it, for whoever looks on, and their clock.
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

    /// Good answers and others so far.
    pub(super) fn counts(&self) -> (u64, u64) {
        let [good, failed] = [&self.good, &self.failed].map(|one| one.load(Ordering::Relaxed));
        (good, failed)
    }
}
