//! What has changed since an answer was asked for: everything, by a purge, or one URI, by a request that wrote there.
//!
//! An answer that was asked for before a change may show what was before it, so it is not kept after it, however late it
//! comes.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// URIs are told apart by a hash of so many values. Two that share one cost each other's answers on their way their
/// place, never more.
const SLOTS: usize = 4096;

/// Counts changes.
pub(super) struct Changes {
    purges: AtomicU64,
    writes: AtomicU64,
    /// The number of the last write to a URI of this hash.
    last_write: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// The counts at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    purges: u64,
    writes: u64,
}

impl Changes {
    pub(super) fn new() -> Self {
        Self {
            purges: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            last_write: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn purges(&self) -> u64 {
        self.purges.load(Ordering::Acquire)
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            purges: self.purges(),
            writes: self.writes.load(Ordering::Acquire),
        }
    }

    pub(super) fn purge(&self) {
        self.purges.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that what has this key was written.
    pub(super) fn write(&self, key: &[u8]) {
        let number = self.writes.fetch_add(1, Ordering::AcqRel) + 1;
        self.slot(key).fetch_max(number, Ordering::AcqRel);
    }

    /// Whether what has this key may have changed since.
    pub(super) fn touched(&self, key: &[u8], since: Counts) -> bool {
        self.purges() != since.purges || self.slot(key).load(Ordering::Acquire) > since.writes
    }

    fn slot(&self, key: &[u8]) -> &AtomicU64 {
        let hash = self.hasher.hash_one(key);
        // The remainder is below `SLOTS`.
        &self.last_write[(hash % SLOTS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_touches_everything_and_a_write_its_own_key() {
        let changes = Changes::new();
        let before = changes.counts();
        assert!(!changes.touched(b"a", before));
        changes.write(b"a");
        assert!(changes.touched(b"a", before));
        assert!(!changes.touched(b"a", changes.counts()));
        let others = (0..100u8).filter(|n| changes.touched(&[*n, 0], before));
        assert!(others.count() < 5, "more than share a slot by chance");
        let after = changes.counts();
        changes.purge();
        assert!(changes.touched(b"b", after));
    }
}
