//! Picks the next upstream, with a file for each policy. A policy is pure: it knows each `candidate` by its position in
//! a list, and the requests in flight at each. Nothing here knows health or time, takes a permit, or waits.

mod candidate;
mod consistent_hash;
mod least_connections;
mod round_robin;
mod weighted;

pub(crate) use candidate::Candidate;
pub(crate) use consistent_hash::ConsistentHash;
pub(crate) use least_connections::LeastConnections;
pub(crate) use round_robin::RoundRobin;
pub(crate) use weighted::WeightedTurns;

use crate::config;

/// A policy, ready for one list of candidates.
pub(crate) enum Picker {
    RoundRobin(RoundRobin),
    Weighted(WeightedTurns),
    LeastConnections(LeastConnections),
    ConsistentHash(ConsistentHash),
}

impl Picker {
    /// A picker over `candidates`, in their order.
    pub(crate) fn new(policy: config::Policy, candidates: &[Candidate]) -> Self {
        match policy {
            config::Policy::RoundRobin => Self::RoundRobin(RoundRobin::default()),
            config::Policy::WeightedRoundRobin => Self::Weighted(WeightedTurns::new(candidates)),
            config::Policy::LeastConnections => {
                Self::LeastConnections(LeastConnections::new(candidates))
            }
            config::Policy::ConsistentHash => Self::ConsistentHash(ConsistentHash::new(candidates)),
        }
    }

    /// The first of `count` candidates, in this policy's order of preference, that is `usable`.
    ///
    /// `in_flight` tells how many requests a candidate has; `key` is what the hash policy picks by.
    pub(crate) fn pick(
        &self,
        count: usize,
        key: &[u8],
        in_flight: impl Fn(usize) -> usize,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        match self {
            Self::RoundRobin(policy) => policy.pick(count, usable),
            Self::Weighted(policy) => policy.pick(usable),
            Self::LeastConnections(policy) => policy.pick(in_flight, usable),
            Self::ConsistentHash(policy) => policy.pick(key, usable),
        }
    }
}
