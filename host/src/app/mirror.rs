//! Copies of requests for a new version: how many there may be, and what came of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::tally::Tally;
use crate::instance::Generation;
use crate::metrics::MirrorMetrics;
use crate::rollout::{Difference, TrafficShare};

/// Most requests that are copied at a time, from the stable version's head to the comparison. Each holds two answers.
const MOST_COPIES: usize = 16;

/// Most copies that the new version answers at a time: a few of a component's connections to its database.
const MOST_SENT: usize = 4;

/// How many differences are kept to be shown.
const MOST_KEPT: usize = 10;

/// What became of a copy. In this order the metrics have them too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Same,
    Different,
    /// The new version gave no answer.
    Failed,
    /// It was not sent: there were too many, or the component had no room for it.
    Dropped,
}

impl Comparison {
    const COUNT: usize = 4;
}

/// A difference that is shown. It has no value of what a client sent or got.
#[derive(Clone, Debug)]
pub(crate) struct KeptDifference {
    pub(crate) at: SystemTime,
    pub(crate) method: String,
    /// The route's pattern.
    pub(crate) route: Arc<str>,
    pub(crate) what: String,
}

/// The mirroring of one roll-out.
pub(crate) struct Mirror {
    share: TrafficShare,
    copies: Arc<Semaphore>,
    /// One permit for each copy that the new version answers.
    pub(crate) senders: Semaphore,
    /// In the order of [`Comparison`].
    counts: [AtomicU64; Comparison::COUNT],
    last: Mutex<VecDeque<KeptDifference>>,
    /// Copies that are under way. They hold this, so whoever ends the mirroring ends them.
    tasks: Mutex<JoinSet<()>>,
    metrics: MirrorMetrics,
}

impl Mirror {
    pub(crate) fn new(share: TrafficShare, metrics: MirrorMetrics) -> Self {
        Self {
            share,
            copies: Arc::new(Semaphore::new(MOST_COPIES)),
            senders: Semaphore::new(MOST_SENT),
            counts: Default::default(),
            last: Mutex::default(),
            tasks: Mutex::default(),
            metrics,
        }
    }

    /// Has a copy sent and compared, until the mirroring ends.
    pub(crate) fn send(&self, copy: impl Future<Output = ()> + Send + 'static) {
        // Without a runtime, the process ends.
        if let Ok(runtime) = Handle::try_current() {
            let mut tasks = self.tasks.lock();
            while tasks.try_join_next().is_some() {}
            tasks.spawn_on(copy, &runtime);
        }
    }

    /// Ends the copies that are under way.
    pub(super) fn end(&self) {
        self.tasks.lock().abort_all();
    }

    pub(super) fn takes(&self, turn: u64) -> bool {
        self.share.takes(turn)
    }

    pub(crate) fn share(&self) -> f64 {
        self.share.fraction()
    }

    /// Counts what became of a copy.
    pub(crate) fn count(&self, comparison: Comparison) {
        self.counts[comparison as usize].fetch_add(1, Ordering::Relaxed);
        self.metrics.compared(comparison as usize);
    }

    /// Counts a difference, and keeps it for a while.
    pub(crate) fn keep(&self, method: &str, route: &Arc<str>, difference: Difference) {
        self.count(Comparison::Different);
        self.metrics.differed(difference.seen as usize);
        let mut last = self.last.lock();
        if last.len() == MOST_KEPT {
            last.pop_front();
        }
        last.push_back(KeptDifference {
            at: SystemTime::now(),
            method: method.to_owned(),
            route: route.clone(),
            what: difference.what,
        });
    }

    /// How many copies ended in this way.
    pub(crate) fn counted(&self, comparison: Comparison) -> u64 {
        self.counts[comparison as usize].load(Ordering::Relaxed)
    }

    /// The last differences, the latest first.
    pub(crate) fn last(&self) -> Vec<KeptDifference> {
        self.last.lock().iter().rev().cloned().collect()
    }
}

/// A request whose answer is to be compared: the right to copy it, and who gets the copy.
pub(crate) struct Original {
    pub(crate) mirror: Arc<Mirror>,
    /// The new version. A client that is slow to read the original answer does not keep it alive.
    pub(crate) generation: Weak<Generation>,
    /// Where the copy counts.
    pub(crate) tally: Arc<Tally>,
    _place: OwnedSemaphorePermit,
}

impl Original {
    /// None if there are too many already.
    pub(super) fn new(
        mirror: &Arc<Mirror>,
        generation: &Arc<Generation>,
        tally: &Arc<Tally>,
    ) -> Option<Self> {
        let Ok(place) = mirror.copies.clone().try_acquire_owned() else {
            mirror.count(Comparison::Dropped);
            return None;
        };
        Some(Self {
            mirror: mirror.clone(),
            generation: Arc::downgrade(generation),
            tally: tally.clone(),
            _place: place,
        })
    }
}
