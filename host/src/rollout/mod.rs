//! What a roll-out is, and how it is judged: rules without clocks, threads or a network, the same for a host that tries a
//! new version and for the command that leads several hosts.
//!
//! `course` is what an operator wishes, `share` a part of the traffic, `selector` who gets the new version besides;
//! `phase` is where a roll-out stands and what follows, `counts` what one version did, `verdict` whether the new one does as
//! well as the stable one, and `difference` what two answers to one request differ in.

mod counts;
mod course;
mod difference;
mod orphan;
mod phase;
mod selector;
mod share;
mod verdict;

pub(crate) use counts::{BUCKETS, Counts, bucket};
pub(crate) use course::{Course, Wish, lease};
pub(crate) use difference::{Difference, Side};
pub(crate) use orphan::{Fate, Vote, once_promoted, while_open};
pub(crate) use phase::Phase;
pub(crate) use selector::{Key, Sticky, Tester};
pub(crate) use share::{TrafficShare, shares};
pub(crate) use verdict::{Budget, Verdict};
