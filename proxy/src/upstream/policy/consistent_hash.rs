//! Picks the same candidate for the same key, by a ketama ring, like nginx's `hash … consistent`. If a candidate goes,
//! only its own keys move.

use std::collections::HashMap;
use std::net::SocketAddr;

use pingora_ketama::{Bucket, Continuum};

use super::candidate::Candidate;

/// How many points on the ring ketama gives a candidate for each unit of its weight.
const POINTS_OF_A_WEIGHT: usize = 160;

/// A ring of candidates.
pub(crate) struct ConsistentHash {
    ring: Continuum,
    /// Number of steps along the ring within which each candidate is met.
    points: usize,
    positions: HashMap<SocketAddr, usize>,
}

impl ConsistentHash {
    pub(crate) fn new(candidates: &[Candidate]) -> Self {
        let buckets: Vec<Bucket> = candidates
            .iter()
            .map(|candidate| Bucket::new(candidate.address, candidate.weight.max(1).into()))
            .collect();
        let weight: usize = candidates
            .iter()
            .map(|c| usize::from(c.weight.max(1)))
            .sum();
        Self {
            ring: Continuum::new(&buckets),
            points: POINTS_OF_A_WEIGHT * weight,
            positions: candidates
                .iter()
                .enumerate()
                .map(|(position, candidate)| (candidate.address, position))
                .collect(),
        }
    }

    /// The candidate that owns `key`, or the next one along the ring that is usable.
    pub(crate) fn pick(&self, key: &[u8], usable: impl Fn(usize) -> bool) -> Option<usize> {
        if self.positions.is_empty() {
            return None;
        }
        self.ring
            .node_iter(key)
            .take(self.points)
            .filter_map(|address| self.positions.get(address).copied())
            .find(|&candidate| usable(candidate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: usize = 10_000;

    fn ring(ports: &[u16]) -> ConsistentHash {
        let candidates: Vec<Candidate> = ports
            .iter()
            .map(|&port| Candidate {
                address: SocketAddr::from(([127, 0, 0, 1], port)),
                weight: 1,
            })
            .collect();
        ConsistentHash::new(&candidates)
    }

    fn owners(policy: &ConsistentHash, usable: impl Fn(usize) -> bool) -> Vec<Option<usize>> {
        (0..KEYS)
            .map(|key| policy.pick(format!("user-{key}").as_bytes(), &usable))
            .collect()
    }

    #[test]
    fn only_the_keys_of_the_one_that_went_move() {
        let policy = ring(&[5000, 5001, 5002, 5003]);
        let before = owners(&policy, |_| true);
        let after = owners(&policy, |candidate| candidate != 2);
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert_eq!(moved, before.iter().filter(|o| **o == Some(2)).count());
        assert!(moved < KEYS * 35 / 100, "{moved} of {KEYS} keys moved");
        assert!(!after.contains(&Some(2)));
    }

    #[test]
    fn one_more_takes_about_its_share() {
        let before = owners(&ring(&[5000, 5001, 5002]), |_| true);
        let after = owners(&ring(&[5000, 5001, 5002, 5003]), |_| true);
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!(moved < KEYS * 35 / 100, "{moved} of {KEYS} keys moved");
    }

    #[test]
    fn a_light_one_is_found_behind_a_heavy_one() {
        let candidate = |port, weight| Candidate {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            weight,
        };
        let policy = ConsistentHash::new(&[candidate(5000, 200), candidate(5001, 1)]);
        let found = owners(&policy, |candidate| candidate == 1);
        assert!(found.iter().all(|owner| *owner == Some(1)));
    }

    #[test]
    fn nothing_is_picked_from_nothing() {
        assert_eq!(ring(&[]).pick(b"key", |_| true), None);
        assert_eq!(ring(&[5000]).pick(b"key", |_| false), None);
    }
}
