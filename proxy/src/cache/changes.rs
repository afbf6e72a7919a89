//! What makes kept answers wrong: everything, by a purge, or one URI, by a request that wrote there.
//!
//! The number of purges is part of each key: whoever asks after a purge looks for answers that were asked for after it, and
//! waits for no other. Writes are counted for themselves: an answer that was asked for before its URI was written may show
//! what was before, so it is not kept, however late it comes.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many slots URIs are spread over by their hash. If two URIs share a slot, a write to one also prevents an answer
/// for the other from being kept, if that is on its way. Nothing worse comes of it.
const SLOTS: usize = 4096;

/// Counts changes.
pub(super) struct Changes {
    purges: AtomicU64,
    writes: AtomicU64,
    /// The number of the last write to a URI of this hash.
    last_write: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// How many writes there had been at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteCount(u64);

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

    pub(super) fn purge(&self) {
        self.purges.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn writes(&self) -> WriteCount {
        WriteCount(self.writes.load(Ordering::Acquire))
    }

    /// Notes that what has this key was written.
    pub(super) fn write(&self, key: &[u8]) {
        let number = self.writes.fetch_add(1, Ordering::AcqRel) + 1;
        self.slot(key).fetch_max(number, Ordering::AcqRel);
    }

    /// Whether what has this key may have been written since.
    pub(super) fn written(&self, key: &[u8], since: WriteCount) -> bool {
        self.slot(key).load(Ordering::Acquire) > since.0
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
    fn a_write_touches_its_own_key() {
        let changes = Changes::new();
        let before = changes.writes();
        assert!(!changes.written(b"a", before));
        changes.write(b"a");
        assert!(changes.written(b"a", before));
        assert!(!changes.written(b"a", changes.writes()));
        let others = (0..100u8).filter(|n| changes.written(&[*n, 0], before));
        assert!(others.count() < 5, "more than share a slot by chance");
    }
}
