//! Picks the candidate with the fewest requests in flight relative to its weight; equal ones take turns.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::candidate::Candidate;

/// The weights of the candidates, and where the next comparison begins.
pub(crate) struct LeastConnections {
    weights: Vec<usize>,
    first: AtomicUsize,
}

impl LeastConnections {
    pub(crate) fn new(candidates: &[Candidate]) -> Self {
        Self {
            weights: candidates.iter().map(|c| c.weight.max(1).into()).collect(),
            first: AtomicUsize::new(0),
        }
    }

    /// The least busy candidate that is usable.
    pub(crate) fn pick(
        &self,
        in_flight: impl Fn(usize) -> usize,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let count = self.weights.len();
        // `min_by` keeps the first of equal candidates, so the next pick begins with another one.
        let first = self.first.fetch_add(1, Ordering::Relaxed);
        (0..count)
            .map(|step| first.wrapping_add(step) % count)
            .filter(|&candidate| usable(candidate))
            .map(|candidate| (candidate, in_flight(candidate)))
            // Compares a/v with b/w without division.
            .min_by(|&(a, busy_a), &(b, busy_b)| {
                (busy_a * self.weights[b]).cmp(&(busy_b * self.weights[a]))
            })
            .map(|(candidate, _)| candidate)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn policy(weights: &[u16]) -> LeastConnections {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let candidates: Vec<Candidate> = weights
            .iter()
            .map(|&weight| Candidate { address, weight })
            .collect();
        LeastConnections::new(&candidates)
    }

    #[test]
    fn the_idle_one_is_preferred() {
        let busy = [3, 0, 1];
        assert_eq!(policy(&[1, 1, 1]).pick(|c| busy[c], |_| true), Some(1));
        assert_eq!(policy(&[1, 1, 1]).pick(|c| busy[c], |c| c != 1), Some(2));
    }

    #[test]
    fn a_heavier_one_may_be_busier() {
        let busy = [3, 2];
        assert_eq!(policy(&[4, 1]).pick(|c| busy[c], |_| true), Some(0));
    }

    #[test]
    fn idle_ones_take_turns() {
        let policy = policy(&[1, 1]);
        let turns: Vec<_> = (0..4)
            .filter_map(|_| policy.pick(|_| 0, |_| true))
            .collect();
        assert_eq!(turns, [0, 1, 0, 1]);
    }
}
