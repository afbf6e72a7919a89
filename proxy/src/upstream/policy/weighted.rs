//! Picks candidates in proportion to their weights, without runs of the same one: the smooth weighted round robin of
//! nginx (<https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1>), computed for a whole round
//! in advance.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::candidate::Candidate;

/// A round in which each candidate has as many turns as its weight.
pub(crate) struct WeightedTurns {
    round: Vec<usize>,
    next: AtomicUsize,
}

impl WeightedTurns {
    pub(crate) fn new(candidates: &[Candidate]) -> Self {
        let weights: Vec<i64> = candidates.iter().map(|c| c.weight.into()).collect();
        let common = weights.iter().copied().fold(0, greatest_common_divisor);
        Self {
            round: smooth_round(
                weights
                    .iter()
                    .map(|weight| weight / common.max(1))
                    .collect(),
            ),
            next: AtomicUsize::new(0),
        }
    }

    /// The candidate whose turn it is, or the next one after it that is usable.
    pub(crate) fn pick(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let turns = self.round.len();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        (0..turns)
            .map(|step| self.round[turn.wrapping_add(step) % turns])
            .find(|&candidate| usable(candidate))
    }
}

fn smooth_round(weights: Vec<i64>) -> Vec<usize> {
    let total: i64 = weights.iter().sum();
    let mut current = vec![0; weights.len()];
    let mut round = Vec::new();
    for _ in 0..total {
        for (value, weight) in current.iter_mut().zip(&weights) {
            *value += weight;
        }
        let highest = (0..current.len())
            .rev()
            .max_by_key(|&candidate| current[candidate]);
        if let Some(candidate) = highest {
            current[candidate] -= total;
            round.push(candidate);
        }
    }
    round
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn weighted(weights: &[u16]) -> WeightedTurns {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let candidates: Vec<Candidate> = weights
            .iter()
            .map(|&weight| Candidate { address, weight })
            .collect();
        WeightedTurns::new(&candidates)
    }

    #[test]
    fn turns_are_in_proportion_and_spread() {
        let policy = weighted(&[5, 1, 1]);
        let turns: Vec<_> = (0..7).filter_map(|_| policy.pick(|_| true)).collect();
        assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn common_factors_do_not_lengthen_the_round() {
        assert_eq!(weighted(&[30000, 60000]).round, [1, 0, 1]);
    }

    #[test]
    fn one_that_is_not_usable_is_passed_over() {
        let policy = weighted(&[5, 1]);
        assert!((0..20).all(|_| policy.pick(|candidate| candidate == 1) == Some(1)));
        assert_eq!(weighted(&[]).pick(|_| true), None);
    }
}
