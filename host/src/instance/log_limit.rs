//! How many log lines a component may write.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::IntCounter;
use store_server::PerSecond;

/// The bytes that count as one line. A longer line counts as several, so that the limit bounds bytes too; but not as
/// more than the limit, because it could never pass.
const LINE_BYTES: usize = 1024;

/// Limits the log lines of all instances of one component together. Without it, a component could fill the disk, and
/// push the lines of others out of the queue in which all wait to be written.
pub(crate) struct LogLimit {
    most: u32,
    lines: PerSecond,
    dropped: IntCounter,
    /// The lines that were dropped since the last one that passed. Every instance of the component writes it.
    unreported: AtomicU64,
}

impl LogLimit {
    /// `dropped` counts the lines that may not pass.
    pub(crate) fn new(lines_per_second: u32, dropped: IntCounter) -> Self {
        Self {
            most: lines_per_second,
            lines: PerSecond::new(lines_per_second),
            dropped,
            unreported: AtomicU64::new(0),
        }
    }

    /// Lets a line with so many bytes pass, or counts it as dropped. If it passes, returns how many lines were dropped
    /// since the one that passed before it.
    pub(super) fn pass(&self, bytes: usize) -> Option<u64> {
        let lines = u32::try_from(bytes.div_ceil(LINE_BYTES)).unwrap_or(u32::MAX);
        if self.lines.may_pass_all(lines.max(1).min(self.most)) {
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
        let limit = limit(5);
        assert_eq!(limit.pass(4 * LINE_BYTES), Some(0));
        // A line that is dropped leaves its place to others.
        assert_eq!(limit.pass(4 * LINE_BYTES), None);
        assert_eq!(limit.pass(10), Some(1));
        assert_eq!(limit.pass(10), None);
    }

    #[test]
    fn a_line_longer_than_the_limit_passes_alone() {
        let limit = limit(5);
        assert_eq!(limit.pass(8 * LINE_BYTES), Some(0));
        assert_eq!(limit.pass(10), None);
    }
}
