//! Keeps the slow and failed requests of the last minute, so that operators can look them up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value as Json;

use super::finished_trace::FinishedTrace;

/// How long a trace is kept.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Most traces at once, and most bytes of all together.
const MOST: usize = 200;
const MOST_BYTES: usize = 8 << 20;

/// Traces in the order of their end, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Tail(Mutex<TailBuffer>);

#[derive(Debug, Default)]
struct TailBuffer {
    trees: VecDeque<(Instant, usize, Arc<FinishedTrace>)>,
    bytes: usize,
}

impl Tail {
    /// Keeps a trace. Older ones make room if necessary.
    pub(super) fn keep(&self, tree: Arc<FinishedTrace>, now: Instant) {
        let bytes = tree.bytes();
        let mut kept = self.0.lock();
        kept.trees.push_back((now, bytes, tree));
        kept.bytes += bytes;
        kept.make_room(now);
    }

    /// All kept traces, or those with the id `trace`, the newest first.
    pub(super) fn json(&self, now: Instant, trace: Option<&str>) -> Json {
        let trees: Vec<_> = {
            let mut kept = self.0.lock();
            kept.make_room(now);
            kept.trees.iter().map(|(.., tree)| tree.clone()).collect()
        };
        let is_wanted = |tree: &FinishedTrace| {
            trace.is_none_or(|id| tree.trace.to_string().eq_ignore_ascii_case(id))
        };
        let wanted = trees.iter().rev().filter(|tree| is_wanted(tree));
        wanted.map(|tree| tree.json()).collect()
    }
}

impl TailBuffer {
    fn make_room(&mut self, now: Instant) {
        while let Some(&(since, bytes, _)) = self.trees.front() {
            let is_old = now.saturating_duration_since(since) > KEPT_FOR;
            if !is_old && self.trees.len() <= MOST && self.bytes <= MOST_BYTES {
                return;
            }
            self.bytes -= bytes;
            self.trees.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use opentelemetry::trace::TraceId;

    use super::super::finished_trace::KeepReason;
    use super::*;

    fn tree(trace: u128) -> Arc<FinishedTrace> {
        Arc::new(FinishedTrace {
            trace: TraceId::from(trace),
            is_sampled: false,
            has_caller: false,
            state: None,
            why: KeepReason::Slow,
            began: Instant::now(),
            began_at: SystemTime::UNIX_EPOCH,
            spans: Vec::new(),
            left_out: 0,
        })
    }

    fn shown(tail: &Tail, now: Instant) -> Vec<Json> {
        let Json::Array(trees) = tail.json(now, None) else {
            panic!("no list")
        };
        trees
    }

    #[test]
    fn the_newest_are_kept_and_shown_first() {
        let (tail, now) = (Tail::default(), Instant::now());
        for number in 0..MOST as u128 + 5 {
            tail.keep(tree(number), now);
        }
        let trees = shown(&tail, now);
        assert_eq!(trees.len(), MOST);
        assert_eq!(trees[0]["trace_id"], format!("{:032x}", MOST + 4));
    }

    #[test]
    fn one_trace_is_found_by_its_id() {
        let (tail, now) = (Tail::default(), Instant::now());
        for number in [0xa, 0xb, 0xa] {
            tail.keep(tree(number), now);
        }
        let found = |id: &str| tail.json(now, Some(id)).as_array().map(Vec::len);
        assert_eq!(found(&format!("{:032x}", 0xa)), Some(2));
        assert_eq!(found(&format!("{:032X}", 0xb)), Some(1));
        for none in [format!("{:032x}", 0xc), "b".to_owned(), String::new()] {
            assert_eq!(found(&none), Some(0), "{none}");
        }
    }

    #[test]
    fn after_a_minute_none_is_left() {
        let (tail, now) = (Tail::default(), Instant::now());
        tail.keep(tree(1), now);
        assert_eq!(shown(&tail, now + KEPT_FOR).len(), 1);
        let later = now + KEPT_FOR + Duration::from_millis(1);
        assert_eq!(shown(&tail, later).len(), 0);
        assert_eq!(tail.0.lock().bytes, 0);
    }
}
