//! Picks one candidate after the other.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts picks, which tells whose turn it is.
#[derive(Default)]
pub(crate) struct RoundRobin {
    next: AtomicUsize,
}

impl RoundRobin {
    /// The candidate whose turn it is, or the next one after it that is usable.
    pub(crate) fn pick(&self, count: usize, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        (0..count)
            .map(|step| turn.wrapping_add(step) % count)
            .find(|&candidate| usable(candidate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_exactly_even() {
        let policy = RoundRobin::default();
        let mut turns = [0; 3];
        for _ in 0..300 {
            turns[policy.pick(3, |_| true).expect("one is usable")] += 1;
        }
        assert_eq!(turns, [100, 100, 100]);
    }

    #[test]
    fn one_that_is_not_usable_is_passed_over() {
        let policy = RoundRobin::default();
        assert_eq!(policy.pick(3, |candidate| candidate == 2), Some(2));
        assert_eq!(policy.pick(3, |_| false), None);
        assert_eq!(policy.pick(0, |_| true), None);
    }
}
