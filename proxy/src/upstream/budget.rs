//! Limits how many requests may be sent again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use crate::config;

/// Seconds over which retries are compared with requests.
const WINDOW: u64 = 10;

/// Limits retries to a share of the requests, so that retries do not make an outage worse.
pub(crate) struct Budget {
    share: f64,
    reserve: f64,
    origin: Instant,
    seconds: [Second; WINDOW as usize],
}

/// Requests and retries of one second. The first request of a second resets them.
#[derive(Default)]
struct Second {
    number: AtomicU64,
    requests: AtomicU32,
    retries: AtomicU32,
}

impl Budget {
    pub(crate) fn new(settings: &config::Retry) -> Self {
        Self {
            share: settings.budget,
            reserve: f64::from(settings.min_per_second) * WINDOW as f64,
            origin: Instant::now(),
            seconds: Default::default(),
        }
    }

    /// Counts a request that came in at `now`.
    pub(crate) fn request(&self, now: Instant) {
        self.second(now).requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one retry out of the budget. Returns whether one was left.
    pub(crate) fn withdraw(&self, now: Instant) -> bool {
        let current = self.number(now);
        let (requests, retries) = self
            .seconds
            .iter()
            .filter(|second| second.number.load(Ordering::Relaxed) + WINDOW > current)
            .fold((0.0, 0.0), |(requests, retries), second| {
                (
                    requests + f64::from(second.requests.load(Ordering::Relaxed)),
                    retries + f64::from(second.retries.load(Ordering::Relaxed)),
                )
            });
        let left = retries < self.share * requests + self.reserve;
        if left {
            self.second(now).retries.fetch_add(1, Ordering::Relaxed);
        }
        left
    }

    /// The number of the second. It starts above zero, as zero marks a second that was never used.
    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_secs() + WINDOW
    }

    fn second(&self, now: Instant) -> &Second {
        let number = self.number(now);
        let second = &self.seconds[(number % WINDOW) as usize];
        // Two threads may both find an old second. The few requests that are then not counted change no decision.
        if second.number.swap(number, Ordering::Relaxed) != number {
            second.requests.store(0, Ordering::Relaxed);
            second.retries.store(0, Ordering::Relaxed);
        }
        second
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn budget(budget: f64, min_per_second: u32) -> Budget {
        Budget::new(&config::Retry {
            budget,
            min_per_second,
            ..config::Retry::default()
        })
    }

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let budget = budget(0.2, 0);
        let now = Instant::now();
        for _ in 0..50 {
            budget.request(now);
        }
        let granted = (0..50).filter(|_| budget.withdraw(now)).count();
        assert_eq!(granted, 10);
    }

    #[test]
    fn a_few_retries_are_always_allowed() {
        let budget = budget(0.0, 2);
        let now = Instant::now();
        assert_eq!((0..50).filter(|_| budget.withdraw(now)).count(), 20);
    }

    #[test]
    fn what_was_long_ago_counts_no_more() {
        let budget = budget(0.5, 0);
        let start = Instant::now();
        for _ in 0..100 {
            budget.request(start);
        }
        assert!(budget.withdraw(start + Duration::from_secs(9)));
        assert!(!budget.withdraw(start + Duration::from_secs(11)));
    }
}
