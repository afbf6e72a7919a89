//! Keeps answers in memory, up to a limit, until they change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;
use pingora_cache::CacheKey;
use pingora_cache::key::HashBinary;
use prometheus::IntGauge;

use super::changes::{Changes, WriteCount};
use super::entries::{Entries, Entry, WholeAnswer};

/// The part of a full memory that is freed at once, here a tenth, so that the search for the oldest answers is rare.
const FREED_SHARE: usize = 10;

/// Answers of one group.
pub(super) struct Memory {
    answers: RwLock<Entries>,
    limit_bytes: AtomicUsize,
    /// What makes kept answers wrong. An answer is put in under the lock of `answers`, and only if its URI was not
    /// written after the answer was asked for. So a request that first notes its write and then searches `answers`
    /// finds all answers that the write makes wrong.
    changes: Changes,
    /// Counts uses. The entry with the smallest number was not used for the longest time.
    uses: AtomicU64,
    bytes: IntGauge,
    entries: IntGauge,
}

impl Memory {
    pub(super) fn new(bytes: IntGauge, entries: IntGauge) -> Self {
        Self {
            answers: RwLock::default(),
            limit_bytes: AtomicUsize::new(0),
            changes: Changes::new(),
            uses: AtomicU64::new(0),
            bytes,
            entries,
        }
    }

    /// Sets the most bytes that are kept. A lower limit takes effect when the next answer is kept.
    pub(super) fn limit(&self, bytes: usize) {
        self.limit_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Forgets all answers, and returns how many.
    pub(super) fn purge(&self) -> usize {
        let mut answers = self.answers.write();
        self.changes.purge();
        let before = std::mem::take(&mut *answers);
        self.show(&answers);
        drop(answers);
        before.count()
    }

    /// Forgets all answers for a key, including those on their way. Returns how many were kept.
    pub(super) fn invalidate(&self, key: &[u8]) -> usize {
        self.changes.write(key);
        // Most writes go to URIs without kept answers, and need not block readers.
        if !self.answers.read().has(key) {
            return 0;
        }
        let mut answers = self.answers.write();
        let count = answers.remove_all(key);
        self.show(&answers);
        count
    }

    /// Forgets one answer.
    pub(super) fn forget(&self, key: &CacheKey) {
        let (key, variance) = (key.primary_key(), key.get_variance_key());
        if self.answers.read().get(key, variance).is_none() {
            return;
        }
        let mut answers = self.answers.write();
        answers.remove(key, variance);
        self.show(&answers);
    }

    /// Keeps an entry, unless its URI was written after the answer was asked for. Without `asked` nobody knows that,
    /// and the entry is not kept.
    pub(super) fn put(
        &self,
        key: Box<[u8]>,
        variance: Option<HashBinary>,
        entry: Entry,
        asked: Option<WriteCount>,
    ) {
        let limit = self.limit_bytes.load(Ordering::Relaxed);
        if entry.bytes() > limit {
            return;
        }
        let mut answers = self.answers.write();
        if asked.is_none_or(|seen| self.changes.written(&key, seen)) {
            return;
        }
        entry.used(self.use_number());
        answers.put(key, variance, entry);
        if answers.bytes() > limit {
            answers.free(limit - limit / FREED_SHARE);
        }
        self.show(&answers);
    }

    pub(super) fn find_whole(&self, key: &[u8]) -> Option<WholeAnswer> {
        self.find(key, None)?.whole()
    }

    pub(super) fn find(&self, key: &[u8], variance: Option<&HashBinary>) -> Option<Arc<Entry>> {
        let entry = self.answers.read().get(key, variance)?.clone();
        entry.used(self.use_number());
        Some(entry)
    }

    fn use_number(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    fn show(&self, answers: &Entries) {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.bytes.set(number(answers.bytes()));
        self.entries.set(number(answers.count()));
    }
}

#[cfg(test)]
mod tests;
