//! The copies of requests for a new version: how many there may be, and how their answers compare.

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

/// The most requests that are mirrored at a time, from the head of the stable version's answer to the comparison. Each
/// of them holds two answers.
const MOST_COPIES: usize = 16;

/// The most copies that the new version answers at a time. It is low, so that copies use only a few of a component's
/// database connections.
const MOST_SENT: usize = 4;

/// How many of the latest differences are kept.
const MOST_KEPT: usize = 10;

/// The outcome of a copy. The metrics list the outcomes in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Same,
    Different,
    /// The new version gave no answer.
    Failed,
    /// The copy was not sent: there were too many, or the component had no room for it.
    Dropped,
}

impl Comparison {
    const COUNT: usize = 4;
}

/// A difference that operators are shown. It has no value of what a client sent or received.
#[derive(Clone, Debug)]
pub(crate) struct KeptDifference {
    pub(crate) at: SystemTime,
    pub(crate) method: String,
    /// The pattern of the route.
    pub(crate) route: Arc<str>,
    pub(crate) what: String,
}

/// The mirroring of one roll-out.
pub(crate) struct Mirror {
    share: TrafficShare,
    copies: Arc<Semaphore>,
    /// One permit for each copy that the new version answers at the moment.
    pub(crate) senders: Semaphore,
    /// The number of copies by outcome, in the order of [`Comparison`].
    counts: [AtomicU64; Comparison::COUNT],
    last: Mutex<VecDeque<KeptDifference>>,
    /// The tasks that send the copies. Each holds an [`Arc`] of this mirror, so [`Mirror::end`] must abort them.
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

    /// Runs `copy`, which sends a request and compares the answers. [`Mirror::end`] aborts it.
    pub(crate) fn send(&self, copy: impl Future<Output = ()> + Send + 'static) {
        // There is no runtime only while the process ends.
        if let Ok(runtime) = Handle::try_current() {
            let mut tasks = self.tasks.lock();
            while tasks.try_join_next().is_some() {}
            tasks.spawn_on(copy, &runtime);
        }
    }

    /// Aborts the copies that are under way.
    pub(super) fn end(&self) {
        self.tasks.lock().abort_all();
    }

    pub(super) fn takes(&self, turn: u64) -> bool {
        self.share.takes(turn)
    }

    pub(crate) fn share(&self) -> f64 {
        self.share.fraction()
    }

    /// Counts the outcome of a copy.
    pub(crate) fn count(&self, comparison: Comparison) {
        self.counts[comparison as usize].fetch_add(1, Ordering::Relaxed);
        self.metrics.compared(comparison as usize);
    }

    /// Counts a difference, and keeps it among the latest ones.
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

    /// The number of copies with this outcome.
    pub(crate) fn counted(&self, comparison: Comparison) -> u64 {
        self.counts[comparison as usize].load(Ordering::Relaxed)
    }

    /// The kept differences, the latest first.
    pub(crate) fn last(&self) -> Vec<KeptDifference> {
        self.last.lock().iter().rev().cloned().collect()
    }
}

/// A request that is mirrored: the right to copy it, and the version that gets the copy.
pub(crate) struct Original {
    pub(crate) mirror: Arc<Mirror>,
    /// The new version. The reference is weak, so that a client which reads the original answer slowly does not keep it
    /// alive.
    pub(crate) generation: Weak<Generation>,
    /// The counts of the new version.
    pub(crate) tally: Arc<Tally>,
    _place: OwnedSemaphorePermit,
}

impl Original {
    /// Takes the right to copy one request. `None`, counted as dropped, if too many are being copied.
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
