//! What a roll-out is, and how it is judged: rules without clocks, threads or a network. They are the same for a host
//! that tries a new version and for the command that leads several hosts.
//!
//! `course` is what an operator asks for: a `share` of the traffic for each step, and a `selector` for those who get
//! one version in any case. `phase` is where a roll-out stands and what follows. `counts` is what one version did,
//! `verdict` says whether the new one does as well as the stable one, and `difference` in what two answers to one
//! request differ. `orphan` says how a roll-out ends that nobody leads any more.

mod counts;
mod course;
mod difference;
mod orphan;
mod phase;
mod selector;
mod share;
mod verdict;

pub(crate) use counts::{BUCKETS, Counts, bucket};
pub(crate) use course::{Course, RolloutRequest, lease};
pub(crate) use difference::{Difference, Side};
pub(crate) use orphan::{OrphanAction, Vote, once_promoted, while_open};
pub(crate) use phase::Phase;
pub(crate) use selector::{Key, Sticky, Tester};
pub(crate) use share::{TrafficShare, shares};
pub(crate) use verdict::{Budget, Verdict};
