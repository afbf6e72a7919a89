//! What a roll-out is, and how it is judged: rules without clocks, threads or a network. Two programs use them: a host
//! that tries a new version, and the command that leads several hosts.
//!
//! `course` has the settings of a roll-out: a `share` of the traffic for each step, and a `selector` for clients that
//! always get a certain version. `phase` is the state of a roll-out, and what follows it. `counts` are the counts of
//! one version, `verdict` decides whether the new version does as well as the stable one, and `difference` finds how
//! two answers to one request differ. `orphan` decides how a roll-out ends that nobody leads any more.

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
