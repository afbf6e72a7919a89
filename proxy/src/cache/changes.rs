//! What makes kept answers wrong: a purge makes all of them wrong, a request that writes makes those of one URI wrong.
//!
//! The number of purges is part of each key, so a request after a purge finds no answer that was asked for before it,
//! and does not wait for one. Writes are counted apart: an answer that was asked for before a write to its URI may show
//! the state before that write, so it is not kept, however late it comes.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Number of buckets that URIs are spread over by their hash. If two URIs share a bucket, a write to one also keeps an
/// answer for the other from being stored, if that answer is on its way. There is no other harm.
const BUCKETS: usize = 4096;

/// Counts purges and writes.
pub(super) struct Changes {
    purges: AtomicU64,
    writes: AtomicU64,
    /// For each bucket, the number of the last write to one of its URIs.
    last_write: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// The number of writes up to some moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteCount(u64);

impl Changes {
    pub(super) fn new() -> Self {
        Self {
            purges: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            last_write: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
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

    /// Notes that the URI with this key was written.
    pub(super) fn write(&self, key: &[u8]) {
        let number = self.writes.fetch_add(1, Ordering::AcqRel) + 1;
        self.bucket(key).fetch_max(number, Ordering::AcqRel);
    }

    /// Whether the URI with this key may have been written after `since`.
    pub(super) fn written(&self, key: &[u8], since: WriteCount) -> bool {
        self.bucket(key).load(Ordering::Acquire) > since.0
    }

    fn bucket(&self, key: &[u8]) -> &AtomicU64 {
        let hash = self.hasher.hash_one(key);
        // The remainder is below `BUCKETS`.
        &self.last_write[(hash % BUCKETS as u64) as usize]
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
        assert!(others.count() < 5, "more than share a bucket by chance");
    }
}
