//! Limits how many things may happen in a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Lets a limited number of events pass in each second. It never blocks.
#[derive(Debug)]
pub struct PerSecond {
    most: u64,
    started: Instant,
    /// The current second in the upper half, and how many have passed in it in the lower half.
    passed: AtomicU64,
}

impl PerSecond {
    /// Lets `most` pass in each second from now on.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self {
            most: most.into(),
            started: Instant::now(),
            passed: AtomicU64::new(0),
        }
    }

    /// Whether one more may pass now.
    pub fn may_pass(&self) -> bool {
        self.may_pass_all(1)
    }

    /// Whether so many more may pass now. If not, none of them counts.
    pub fn may_pass_all(&self, many: u32) -> bool {
        let second = self.started.elapsed().as_secs() << 32;
        let count = |passed: u64| {
            let passed = passed.max(second) + u64::from(many);
            (passed - second <= self.most).then_some(passed)
        };
        let counted = self
            .passed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        counted.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_so_many_pass_in_a_second() {
        let hundred = PerSecond::new(100);
        let passed = (0..10_000).filter(|_| hundred.may_pass()).count() as u64;
        let seconds = hundred.started.elapsed().as_secs() + 1;
        assert!((100..=100 * seconds).contains(&passed), "{passed}");
    }

    #[test]
    fn several_pass_together_or_not_at_all() {
        let five = PerSecond::new(5);
        assert!(five.may_pass_all(3));
        assert!(!five.may_pass_all(3));
        // Those three took no place.
        assert!(five.may_pass_all(2));
        assert!(!five.may_pass());
    }
}
