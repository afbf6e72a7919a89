//! How many log lines a component may write.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::IntCounter;
use store_server::PerSecond;

/// The bytes that count as one line. A longer line counts as several, so that the limit bounds bytes too.
const LINE_BYTES: usize = 1024;

/// Limits the log lines of all instances of one component together. Without it, a component could fill the disk, and
/// push the lines of others out of the queue in which all wait to be written.
pub(crate) struct LogLimit {
    lines: PerSecond,
    dropped: IntCounter,
    /// The lines that were dropped since the last one that passed. Every instance of the component writes it.
    unreported: AtomicU64,
}

impl LogLimit {
    /// `dropped` counts the lines that may not pass.
    pub(crate) fn new(lines_per_second: u32, dropped: IntCounter) -> Self {
        Self {
            lines: PerSecond::new(lines_per_second),
            dropped,
            unreported: AtomicU64::new(0),
        }
    }

    /// Lets a line with so many bytes pass, or counts it as dropped. If it passes, returns how many lines were dropped
    /// since the one that passed before it.
    pub(super) fn pass(&self, bytes: usize) -> Option<u64> {
        let lines = bytes.div_ceil(LINE_BYTES).max(1);
        if (0..lines).all(|_| self.lines.may_pass()) {
            return Some(self.unreported.swap(0, Ordering::Relaxed));
        }
        self.dropped.inc();
        self.unreported.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(lines_per_second: u32) -> LogLimit {
        let counter = IntCounter::new("dropped", "x").expect("a name");
        LogLimit::new(lines_per_second, counter)
    }

    #[test]
    fn what_is_dropped_is_counted_and_told_once() {
        let limit = limit(1);
        assert_eq!(limit.pass(10), Some(0));
        let mut told = None;
        while told.is_none() {
            // The next line that passes is in a later second.
            told = limit.pass(10).filter(|dropped| *dropped > 0);
        }
        assert_eq!(told, Some(limit.dropped.get()));
        assert_eq!(limit.unreported.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_long_line_counts_as_several() {
        assert_eq!(limit(3).pass(3 * LINE_BYTES), Some(0));
        assert_eq!(limit(3).pass(1_000_000 * LINE_BYTES), None);
    }
}
