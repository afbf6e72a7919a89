//! Keeps the slowest and the last failed requests of the last minutes, so that operators can look them up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value as Json;

use super::finished_trace::{FinishedTrace, KeepReason};

/// How long a trace is kept.
const KEPT_FOR: Duration = Duration::from_secs(5 * 60);

/// Most traces of failed requests, and as many of slow ones.
const MOST: usize = 100;

/// Most bytes of all traces of failed requests together, and as many of slow ones.
const MOST_BYTES: usize = 4 << 20;

/// Traces of failed and of slow requests. Each kind has room of its own: where one request in a hundred fails, nobody
/// would see a slow one otherwise.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last ones: a request that fails at once says as much as one that fails late.
    failed: Mutex<KeptTraces>,
    slow: Slowest,
}

/// The slowest traces of slow requests.
#[derive(Debug, Default)]
struct Slowest {
    kept: Mutex<KeptTraces>,
    /// The nanoseconds that the trace took which made room last; 0 if there may be room. Only a slower trace is worth
    /// recording. Written while `kept` is locked.
    bar_ns: AtomicU64,
}

/// Traces in the order of their end, the oldest first.
#[derive(Debug, Default)]
struct KeptTraces {
    entries: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    ended: Instant,
    took: Duration,
    bytes: usize,
    tree: Arc<FinishedTrace>,
}

impl Tail {
    /// Whether the trace of a slow request that took so long would be among the slowest, as far as can be said without
    /// a lock. It may be wrong once the kept ones are old: they are forgotten when the next one is kept.
    pub(super) fn has_room_for(&self, took: Duration) -> bool {
        nanos(took) > self.slow.bar_ns.load(Ordering::Relaxed)
    }

    /// Keeps the trace of a failed request, or of a slow one if it is among the slowest. Returns whether it is kept.
    pub(super) fn keep(&self, tree: Arc<FinishedTrace>, now: Instant) -> bool {
        match tree.why {
            KeepReason::Sampled => false,
            KeepReason::Slow => self.slow.keep(tree, now),
            KeepReason::Failed => self.failed.lock().keep_last(tree, now),
        }
    }

    /// All kept traces, or those with the id `trace`, the newest first.
    pub(super) fn json(&self, now: Instant, trace: Option<&str>) -> Json {
        let mut trees = self.failed.lock().all(now);
        trees.extend(self.slow.all(now));
        trees.sort_by_key(|(ended, _)| *ended);
        let is_wanted = |tree: &FinishedTrace| {
            trace.is_none_or(|id| tree.trace.to_string().eq_ignore_ascii_case(id))
        };
        let newest_first = trees.iter().rev().map(|(_, tree)| tree);
        let wanted = newest_first.filter(|tree| is_wanted(tree));
        wanted.map(|tree| tree.json()).collect()
    }
}

impl Slowest {
    fn keep(&self, tree: Arc<FinishedTrace>, now: Instant) -> bool {
        let mut kept = self.kept.lock();
        self.forget_old(&mut kept, now);
        kept.add(tree, now);
        let mut is_kept = true;
        while kept.is_too_full()
            && let Some(place) = kept.least_slow()
            && let Some(removed) = kept.remove(place)
        {
            // The new one is the last.
            is_kept &= place < kept.entries.len();
            self.bar_ns.store(nanos(removed.took), Ordering::Relaxed);
        }
        is_kept
    }

    fn all(&self, now: Instant) -> Vec<(Instant, Arc<FinishedTrace>)> {
        let mut kept = self.kept.lock();
        self.forget_old(&mut kept, now);
        kept.all(now)
    }

    /// Forgets the traces that have been kept long enough. After that there is room again.
    fn forget_old(&self, kept: &mut KeptTraces, now: Instant) {
        if kept.forget_old(now) {
            self.bar_ns.store(0, Ordering::Relaxed);
        }
    }
}

impl KeptTraces {
    /// Keeps a trace; the oldest ones make room. Returns whether there is room for it at all.
    fn keep_last(&mut self, tree: Arc<FinishedTrace>, now: Instant) -> bool {
        self.forget_old(now);
        self.add(tree, now);
        while self.is_too_full() && self.remove(0).is_some() {}
        !self.entries.is_empty()
    }

    fn all(&mut self, now: Instant) -> Vec<(Instant, Arc<FinishedTrace>)> {
        self.forget_old(now);
        let entries = self.entries.iter();
        entries
            .map(|entry| (entry.ended, entry.tree.clone()))
            .collect()
    }

    /// Forgets the traces that have been kept long enough. Returns whether there were any.
    fn forget_old(&mut self, now: Instant) -> bool {
        let is_old = |entry: &Entry| now.saturating_duration_since(entry.ended) > KEPT_FOR;
        let before = self.entries.len();
        while self.entries.front().is_some_and(is_old) {
            self.remove(0);
        }
        self.entries.len() < before
    }

    fn add(&mut self, tree: Arc<FinishedTrace>, now: Instant) {
        let entry = Entry {
            ended: now,
            took: tree.took(),
            bytes: tree.bytes(),
            tree,
        };
        self.bytes += entry.bytes;
        self.entries.push_back(entry);
    }

    fn is_too_full(&self) -> bool {
        self.entries.len() > MOST || self.bytes > MOST_BYTES
    }

    /// The place of the trace that took the least time, the oldest of several.
    fn least_slow(&self) -> Option<usize> {
        let places = self.entries.iter().enumerate();
        let least = places.min_by_key(|(_, entry)| entry.took);
        least.map(|(place, _)| place)
    }

    fn remove(&mut self, place: usize) -> Option<Entry> {
        let removed = self.entries.remove(place)?;
        self.bytes -= removed.bytes;
        Some(removed)
    }
}

fn nanos(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use opentelemetry::trace::TraceId;

    use super::super::spare;
    use super::*;

    /// The trace of a request that took so many milliseconds.
    fn tree(trace: u128, why: KeepReason, took_ms: u64) -> Arc<FinishedTrace> {
        let mut root = spare::take();
        root.ended = root.began + Duration::from_millis(took_ms);
        Arc::new(FinishedTrace {
            trace: TraceId::from(trace),
            is_sampled: false,
            has_caller: false,
            state: None,
            why,
            began: root.began,
            began_at: SystemTime::UNIX_EPOCH,
            spans: vec![root],
            left_out: 0,
        })
    }

    fn slow(trace: u128, took_ms: u64) -> Arc<FinishedTrace> {
        tree(trace, KeepReason::Slow, took_ms)
    }

    /// The numbers of all kept traces.
    fn shown(tail: &Tail, now: Instant) -> Vec<u128> {
        let Json::Array(trees) = tail.json(now, None) else {
            panic!("no list")
        };
        let ids = trees.iter().map(|tree| tree["trace_id"].as_str());
        ids.map(|id| u128::from_str_radix(id.expect("text"), 16).expect("a number"))
            .collect()
    }

    const ROOM: u128 = MOST as u128;

    #[test]
    fn the_newest_is_shown_first() {
        let (tail, now) = (Tail::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        tail.keep(slow(1, 10), now);
        tail.keep(tree(2, KeepReason::Failed, 10), later);
        tail.keep(slow(3, 10), later + Duration::from_secs(1));
        assert_eq!(shown(&tail, later), [3, 2, 1]);
    }

    #[test]
    fn the_least_slow_makes_room() {
        let (tail, now) = (Tail::default(), Instant::now());
        for number in 0..ROOM {
            assert!(tail.keep(slow(number, 100), now));
        }
        assert!(tail.keep(slow(ROOM, 200), now));
        assert!(!tail.keep(slow(ROOM + 1, 50), now));
        let numbers = shown(&tail, now);
        assert_eq!(numbers.len(), MOST);
        assert_eq!(numbers[0], ROOM);
        // Of those that took the same time, the oldest went.
        assert!(!numbers.contains(&0) && numbers.contains(&1));
    }

    #[test]
    fn the_oldest_failed_one_makes_room_however_long_it_took() {
        let (tail, now) = (Tail::default(), Instant::now());
        for number in 0..ROOM {
            assert!(tail.keep(tree(number, KeepReason::Failed, 1000), now));
        }
        assert!(tail.keep(tree(ROOM, KeepReason::Failed, 1), now));
        let numbers = shown(&tail, now);
        assert_eq!((numbers.len(), numbers[0]), (MOST, ROOM));
        assert!(!numbers.contains(&0));
    }

    #[test]
    fn slow_and_failed_ones_take_no_room_from_one_another() {
        let (tail, now) = (Tail::default(), Instant::now());
        for number in 0..2 * ROOM {
            tail.keep(tree(number, KeepReason::Failed, 1000), now);
            tail.keep(slow(3 * ROOM + number, 100), now);
        }
        let numbers = shown(&tail, now);
        let failed = numbers.iter().filter(|number| **number < 3 * ROOM);
        assert_eq!((failed.count(), numbers.len()), (MOST, 2 * MOST));
    }

    #[test]
    fn it_is_known_beforehand_who_finds_room() {
        let (tail, now) = (Tail::default(), Instant::now());
        let has_room = |took_ms| {
            let took = Duration::from_millis(took_ms);
            tail.has_room_for(took)
        };
        for number in 0..=ROOM {
            assert!(has_room(100), "{number} are kept");
            tail.keep(slow(number, 100), now);
        }
        assert!(!has_room(100) && has_room(101));
        tail.keep(slow(ROOM + 1, 1), now + KEPT_FOR + Duration::from_secs(1));
        assert!(has_room(1));
    }

    #[test]
    fn one_trace_is_found_by_its_id() {
        let (tail, now) = (Tail::default(), Instant::now());
        for number in [0xa, 0xb, 0xa] {
            tail.keep(slow(number, 10), now);
        }
        let found = |id: &str| tail.json(now, Some(id)).as_array().map(Vec::len);
        assert_eq!(found(&format!("{:032x}", 0xa)), Some(2));
        assert_eq!(found(&format!("{:032X}", 0xb)), Some(1));
        for none in [format!("{:032x}", 0xc), "b".to_owned(), String::new()] {
            assert_eq!(found(&none), Some(0), "{none}");
        }
    }

    #[test]
    fn after_its_time_none_is_left() {
        let (tail, now) = (Tail::default(), Instant::now());
        tail.keep(slow(1, 10), now);
        assert_eq!(shown(&tail, now + KEPT_FOR), [1]);
        let later = now + KEPT_FOR + Duration::from_millis(1);
        assert_eq!(shown(&tail, later), [0_u128; 0]);
        assert_eq!(tail.slow.kept.lock().bytes, 0);
    }
}
